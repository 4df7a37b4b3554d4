"""Runs cases for a program that asks in lines of JSON: {"prepare": {"case": ..., options}} then {"run": calls}."""
import gc
import json
import sys
import time


def serve(ready, cases, wait=lambda: None, peak=lambda: None):
    """Answers until the input ends.

    `cases` maps names to functions that build a call without arguments; `wait` returns when all that was asked of a device
    has run, and `peak` says how many bytes the device held at most.
    """
    say({"ready": ready})
    call = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "prepare" in question:
                options = dict(question["prepare"])
                call = None
                gc.collect()
                call = cases[options.pop("case")](**options)
                say({"ready": ready})
            elif "peak" in question:
                say({"bytes": peak()})
            else:
                say({"seconds": seconds(call, question["run"], wait)})
        except Exception as error:  # whatever it is, the one who asks must hear of it
            say({"error": f"{type(error).__name__}: {error}"})


def seconds(call, calls, wait):
    wait()
    since = time.perf_counter()
    for _ in range(calls):
        call()
    wait()
    return time.perf_counter() - since


def say(answer):
    print(json.dumps(answer), flush=True)


def missing(what):
    """Tells that the peer cannot run here, and ends."""
    say({"missing": what})
    sys.exit(0)
