"""Logs of many processes as one readable stream."""

from pathlib import Path

from deploy.local.logs import Line, log_files, parse, recent


def test_a_json_record_becomes_a_sentence_with_its_values() -> None:
    raw = (
        '{"timestamp":"2026-11-25T10:00:01.250Z","level":"info","service":"call_service",'
        '"message":"call ended","call_id":"c1","seconds":4}'
    )
    line = parse("call-worker", raw)
    assert line.text == "10:00:01.250 INFO    call ended call_id=c1 seconds=4"
    assert line.when == "2026-11-25T10:00:01.250Z"


def test_a_line_of_another_program_stays_as_it_is() -> None:
    raw = "2026-11-25 10:00:02.500 UTC [12] LOG:  ready"
    assert parse("postgres", raw) == Line("2026-11-25T10:00:02.500000+00:00", "postgres", raw)


def test_a_line_without_a_time_follows_the_one_before() -> None:
    assert parse("gateway", "Traceback (most recent call last):", "2026-11-25T10:00:03Z").when == "2026-11-25T10:00:03Z"


def test_json_that_is_no_record_is_text() -> None:
    assert parse("gateway", "[1, 2]").text == "[1, 2]"


def test_files_are_merged_by_time_and_cut_to_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(
        '{"timestamp":"2026-11-25T10:00:00Z","message":"first"}\n{"timestamp":"2026-11-25T10:00:02Z","message":"third"}\n'
    )
    (tmp_path / "b.log").write_text("2026-11-25 10:00:01 second\n  its detail\n")
    lines = recent(log_files(tmp_path, ()), 3)
    assert [(line.name, line.text.split()[-1]) for line in lines] == [("b", "second"), ("b", "detail"), ("a", "third")]


def test_only_the_named_processes_are_shown(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.log").touch()
    assert [file.stem for file in log_files(tmp_path, ("c", "a"))] == ["a", "c"]
