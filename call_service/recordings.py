"""Where recordings live: a folder that workers write and API processes read."""

from pathlib import Path

PART = ".part"  # what a recording is called while it is written


class RecordingStore:
    """Stereo WAV files by call id; the name stored with a call is relative to the folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path_for(self, call_id: str) -> Path:
        """Where the recording of a call is to be written; its folder exists afterwards."""
        self._directory.mkdir(parents=True, exist_ok=True)
        return self._directory / f"{call_id}.wav"

    def finished(self, call_id: str) -> str | None:
        """The name of an ended call's recording; what a killed worker left unfinished is playable and gets its name."""
        path = self._directory / f"{call_id}.wav"
        part = path.with_name(path.name + PART)
        if part.is_file():
            part.replace(path)
        return path.name if path.is_file() else None

    def open_path(self, name: str) -> Path | None:
        """The file of a stored name, if it is still there."""
        path = self._directory / Path(name).name
        return path if path.is_file() else None
