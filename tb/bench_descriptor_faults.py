"""The tests of a bench with a fault in the hardware: each of them has to fail.

The run's parameter ``faults`` gives number of a fault -> name of the test that must see it;
``bench`` the module of the bench, if it is not that of the attention descriptor engine.
"""

import importlib
from typing import Any

import cocotb

from tb.bench import parameters
from tb.descriptor_software import plant

BENCH = importlib.import_module(parameters().get("bench", "tb.bench_descriptors"))
TESTS = {test.name: test for tests in vars(BENCH).values()
         if hasattr(tests, "generate_tests") for test in tests.generate_tests()}


def _with_fault(number: int, name: str) -> Any:
    test = TESTS[name]

    async def faulty(dut: Any) -> None:
        plant(number)
        await test.func(dut, *test.args, **test.kwargs)
    return cocotb.test(name=f"fault_{number}", timeout_time=40, timeout_unit="us",
                       expect_fail=True, expect_error=Exception)(faulty)


for _number, _name in parameters()["faults"].items():
    globals()[f"fault_{_number}"] = _with_fault(int(_number), _name)
