"""Every setting is documented, and the page is the one that the code makes."""

import pytest
from pydantic_settings import BaseSettings

from deploy.settings_docs import PAGE, PROCESSES, page


@pytest.mark.parametrize(("process", "settings"), PROCESSES)
def test_every_setting_says_what_it_is(process: str, settings: type[BaseSettings]) -> None:
    assert [name for name, field in settings.model_fields.items() if not field.description] == []


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `python -m deploy.settings_docs`"
