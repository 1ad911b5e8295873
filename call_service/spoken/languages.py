"""Tags of languages, such as `de-DE` (RFC 5646)."""


def primary_of(tag: str) -> str:
    """The language without its region, in lower case."""
    return tag.split("-", maxsplit=1)[0].lower()


def is_english(tag: str) -> bool:
    """The local engines and our own phrases know English best, or only."""
    return tag.lower().startswith("en")
