"""The voices this worker can speak with: hibari 0.2.1 ships one speaker, so they differ in pace.

`project_service` shows them to customers, with labels and previews.
"""

DEFAULT_VOICE = "heart"
PACE = {"heart": 1.0, "heart-calm": 0.88, "heart-brisk": 1.12}
