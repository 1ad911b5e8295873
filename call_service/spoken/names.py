"""Names of people, as they introduce themselves."""

import re

from call_service.spoken.words import straight, words

_TOKEN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ][A-Za-zÀ-ÖØ-öø-ÿ'-]*")
_SURE = r"(?:(?:my|the|full|first|last) )*name(?:'s| is| was| would be)|call me|i am called|i'm called"
_WEAK = r"this is|i am|i'm|it's|it is|that's|that is|here is"
_SURE_INTRODUCTION = re.compile(rf"\b(?:{_SURE})\s+(?:is\s+)?", re.IGNORECASE)
_WEAK_INTRODUCTION = re.compile(rf"\b(?:{_WEAK})\s+", re.IGNORECASE)
_SPEAKING = re.compile(r"^\W*(?P<name>[A-Za-z' -]+?) (?:speaking|here)\b", re.IGNORECASE)
_MAX_WORDS = 4
_NOT_NAMES = frozenset(
    words(
        """a about actually afraid after all alright am an and anything appointment are as ask at available back
        because bit book booking busy but buy by bye call called calling can can't cannot come could
        customer date day did do does doing don't dr else er everything fine for free friday from get go
        going good goodbye great had happy has have he hello help her here hey hi him his hold how i i'd
        i'll i'm i've if in interested is isn't it it's its just know last later let like looking make
        man maybe me mean minute miss moment monday more morning mr mrs ms much my name need new nice no
        nobody none nope not nothing now number of oh ok okay on one or order our out over pardon patient
        perfect phone please possible problem question ready really right robot saturday say second see
        she should so some somebody someone something sorry speak speaking stop sunday sure take talk
        talking tell thank thanks that that's the their them then there they think this thursday time to
        today tomorrow too trying tuesday two um uh hmm very wait want wanted was we wednesday week
        welcome well were what what's when where which who whom who's why will with won't would wrong
        yeah yep yes you you'd your afternoon evening half past three four five six seven eight nine ten
        eleven twelve zero understand english repeat human person people agent course real wonder before
        under spell whatever"""
    )
)
_FILLERS = frozenset(
    words(
        """yes yeah sure ok okay um uh hmm er well oh hi hello hey it's it is that's of course please thanks thank
        you so name mr mrs ms dr the this here a"""
    )
)


def name_in(text: str, *, asked: bool = False, wanted: bool = True) -> str | None:
    """The speaker's name, in title case, or None.

    "My name is …" always counts, "I'm …" and "this is …" only when a name is `wanted`, and the bare name only as the
    answer to a question for it (`asked`).
    """
    text = straight(text)
    found = _introduced(_SURE_INTRODUCTION, text)
    if not found and (wanted or asked):
        speaking = _SPEAKING.match(text)
        found = _introduced(_WEAK_INTRODUCTION, text) or (_leading(speaking["name"]) if speaking else [])
    if not found and asked:
        found = _bare(text)
    return _joined(found) if found else None


def _introduced(introduction: re.Pattern[str], text: str) -> list[str]:
    names = [_leading(text[match.end() :]) for match in introduction.finditer(text)]
    return next((name for name in reversed(names) if name), [])


def _leading(text: str) -> list[str]:
    """Name words at the start of `text`, up to the first common word or the end of the clause."""
    taken: list[str] = []
    for token in _TOKEN.findall(re.split(r"[.,;!?]", text.lstrip(), maxsplit=1)[0]):
        if token.lower() in _NOT_NAMES or token.lower().endswith("ing") or len(taken) == _MAX_WORDS:
            break
        taken.append(token)
    return taken


def _bare(text: str) -> list[str]:
    """The whole utterance, when apart from fillers it is nothing but one to four uncommon words."""
    if re.search(r"\d", text):
        return []
    tokens = _TOKEN.findall(text)
    if all(len(token) == 1 for token in tokens):
        return tokens if len(tokens) > 1 else []
    while tokens and tokens[0].lower() in _FILLERS:
        tokens.pop(0)
    while tokens and tokens[-1].lower() in _FILLERS:
        tokens.pop()
    common = any(token.lower() in _NOT_NAMES for token in tokens)
    return [] if common or len(tokens) > _MAX_WORDS else tokens


def _joined(tokens: list[str]) -> str:
    if len(tokens) > 1 and all(len(token) == 1 for token in tokens):
        return "".join(tokens).capitalize()  # spelled out, letter by letter
    return " ".join(token.capitalize() if token.islower() or token.isupper() else token for token in tokens)
