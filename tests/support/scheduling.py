"""What a process of the tests gets at a time, where several share a run (`pytest -n`)."""

from xdist.scheduler import LoadFileScheduling

# Tests that start a whole stack: ten seconds of both cores, and then a dozen processes. In one piece those of a folder
# share it, and no more than three stacks run at once.
WHOLE = {"tests/e2e", "tests/chaos"}
# A piece of its own, or chaos would be the last to end.
CHAOS_OF_ONE_STACK = {
    "tests/chaos/test_faults_during_a_call.py",
    "tests/chaos/test_stuck_servers.py",
    "tests/chaos/test_wrong_clocks.py",
}


class Scheduling(LoadFileScheduling):
    """A file at a time, or a folder of those that start stacks; in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if file in CHAOS_OF_ONE_STACK:
            return "chaos of one stack"
        folder, _, _ = file.rpartition("/")
        return folder if folder in WHOLE else file
