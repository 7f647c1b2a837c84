"""Prints a numbered line now and then, until it is asked to stop."""

import os
import signal
import sys
import threading

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())

number = 0
while not stop.is_set():
    number += 1
    print(f"line {number}", flush=True)
    stop.wait(float(os.environ.get("INTERVAL_SECONDS", "1")))
print(f"stopped after {number} lines", flush=True)
sys.exit(0)
