"""The events of a leg."""

from call_service.carriers.events import EventLog
from call_service.carriers.port import Answered, Cause, DtmfReceived, Ended, LegEvent, Ringing

END = Ended(Cause.CALLEE_HUNG_UP)


def test_every_listener_hears_the_whole_story_in_order() -> None:
    events, early, late = EventLog(), list[LegEvent](), list[LegEvent]()
    events.listen(early.append)
    events.emit(Ringing())
    events.listen(late.append)
    events.emit(Answered())
    assert early == late == [Ringing(), Answered()]
    assert not events.has_ended


def test_nothing_happens_after_the_end() -> None:
    events, heard = EventLog(), list[LegEvent]()
    events.listen(heard.append)
    for event in (END, DtmfReceived("1"), END):
        events.emit(event)
    assert heard == [END]
    assert events.has_ended


def test_a_listener_that_comes_during_an_event_hears_it_once() -> None:
    events, second = EventLog(), list[LegEvent]()
    events.listen(lambda _: events.listen(second.append))
    events.emit(Ringing())
    assert second == [Ringing()]
