"""Counts checks and says what is wrong with each."""

import time
from collections.abc import Iterable


class Report:
    """What has been checked so far."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.began = time.monotonic()

    def check(self, name: str, problems: Iterable[str]) -> None:
        """Counts one check; it passes when there are no problems."""
        try:
            found = list(problems)
        except Exception as error:  # a check that breaks has failed
            found = [f"the check itself broke: {type(error).__name__}: {error}"]
        if found:
            self.failed += 1
            print(f"FAILED  {name}")
            for problem in found[:20]:
                print("        " + problem.replace("\n", "\n        "))
            if len(found) > 20:
                print(f"        and {len(found) - 20} more")
        else:
            self.passed += 1
            print(f"ok      {name}")

    def close(self) -> int:
        """The closing line; the exit code."""
        print(f"{time.monotonic() - self.began:.1f} s")
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0
