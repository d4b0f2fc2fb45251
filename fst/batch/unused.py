"""Options of `infer.py` that do nothing where they are given."""

from fst.batch import plan
from fst.console.unused import Rule, defaults_of, notes_on

_HAVE_QUALITY = {".jpg", ".jpeg", ".webp", ".avif"}
_WITHOUT_EXIF = {".bmp", ".gif"}


def in_inference(config, jobs):
    """Notes, a line each, on the options of an `InferenceConfig` that have no effect.

    `jobs` are what is to be done.
    """
    photos = {job.target.suffix.lower() for job in jobs if not job.moving}
    videos = {job.target.suffix.lower() for job in jobs if job.moving}
    folders = [given for given in config.input if plan.is_folder(given)]
    strips = config.tile.isdecimal()
    why_strips = f"strips of --tile {config.tile} rows are worked on in TensorFlow"
    rules = (
        Rule("recursive", lambda c: folders, "no INPUT is a folder"),
        Rule("steady", lambda c: videos, "it is for videos"),
        Rule("format", lambda c: photos, "it is for photos"),
        Rule(
            "quality",
            lambda c: videos - {".gif"} or photos & _HAVE_QUALITY,
            "it is for JPEG, WebP, AVIF and videos",
        ),
        Rule(
            "keep_metadata",
            lambda c: videos or photos - _WITHOUT_EXIF,
            "BMP and GIF have no room for it",
        ),
        Rule("engine", lambda c: not strips or c.engine == "tensorflow", why_strips),
        Rule("precision", lambda c: not strips, why_strips),
    )
    return notes_on([config], config, rules, defaults_of(type(config)))
