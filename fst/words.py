"""Words that several messages are made of."""


def plural(count: int | str, noun: str) -> str:
    """`1 photo`, `2 photos`."""
    return f"{count} {noun}{'' if str(count) == '1' else 's'}"
