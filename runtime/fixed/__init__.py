"""AttAcc's public simulator, its arithmetic reproduced: one batch of equal requests, no arrivals.

Written anew from what the simulator does (scale-snu/attacc_simulator @c600051, src/system.py,
devices.py, model.py, ramulator_wrapper.py; docs/fixed.md), so that our AttAcc baseline stands
beside the published one and each difference has a name. Its oddities are kept where they change a
figure, and are listed in docs/fixed.md.
"""
