"""Files of scenarios with the agent they test, played many at a time."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from call_service.scenarios.rehearsal import play
from call_service.scenarios.report import ScenarioReport
from call_service.scenarios.scenario import Scenario, ScenarioSet
from call_service.scenarios.stage import Cast, Stage
from call_service.voice.engines.voices import DEFAULT_VOICE, PACE

MAX_FILE_BYTES = 1024 * 1024
ModelT = TypeVar("ModelT", bound=BaseModel)
NOBODY = "00000000-0000-7000-8000-000000000000"


class ScenarioFileError(ValueError):
    """A file can't be used; the text names it and the field."""


class AgentPart(BaseModel):
    """An agent as `POST /agent` answers it; what is left out has the platform's default."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel, populate_by_name=True)

    name: Annotated[str, Field(min_length=1)]
    system_instruction: Annotated[str, Field(min_length=1)]
    first_message: str | None = None
    language: str = "en-US"
    temperature: float = 0.4
    voice_id: str = Field(default=DEFAULT_VOICE, alias="voice_id", pattern=f"^({'|'.join(PACE)})$")
    max_call_seconds: float = 1800
    silence_timeout_seconds: float = 6
    voicemail: dict[str, Any] = Field(default={"action": "hang_up", "message": None})
    recording_enabled: bool = False

    def settings(self) -> dict[str, Any]:
        """As a call has them."""
        return self.model_dump(mode="json", by_alias=True)


class SuiteFile(ScenarioSet):
    """Scenarios, and the agent that they test unless the command names another."""

    agent: AgentPart | None = None

    def cast(self) -> Cast | None:
        """The agent of the file."""
        return Cast(NOBODY, NOBODY, self.agent.settings()) if self.agent else None


def read_suite(path: Path) -> SuiteFile:
    """Raises ScenarioFileError."""
    return _read(path, SuiteFile)


def read_agent(path: Path) -> Cast:
    """Raises ScenarioFileError."""
    return Cast(NOBODY, NOBODY, _read(path, AgentPart).settings())


def _read(path: Path, model: type[ModelT]) -> ModelT:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ScenarioFileError(f"{path}: larger than {MAX_FILE_BYTES // 1024} KiB")
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ScenarioFileError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        problems = (": ".join(filter(None, (".".join(map(str, item["loc"])), item["msg"]))) for item in error.errors())
        raise ScenarioFileError(f"{path}: {'; '.join(problems)}") from error


async def play_all(
    scenarios: Sequence[tuple[Scenario, Cast]],
    stage: Stage,
    at_once: int,
    on_report: Callable[[ScenarioReport], None],
) -> list[ScenarioReport]:
    """Reports in the order of `scenarios`; `on_report` hears of each as it is done."""
    places = asyncio.Semaphore(at_once)

    async def one(scenario: Scenario, cast: Cast) -> ScenarioReport:
        async with places:
            report = await play(scenario, cast, stage)
        on_report(report)
        return report

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(*pair)) for pair in scenarios]
    return [task.result() for task in tasks]
