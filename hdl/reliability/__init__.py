"""What keeps an error from being consumed in silence: codes, poison, log, injection, time-outs."""
