"""A language model inside the worker: llama.cpp by xllamacpp (MIT), with the operator's GGUF file.

Its server listens on a port of the loopback address, behind a key that only this process knows, and is talked to like
any other endpoint: batching and the cache of prompts are llama.cpp's own.
"""

import secrets
from pathlib import Path

import xllamacpp
from pydantic import SecretStr

from call_service.llm import LlmClient, LlmSettings
from call_service.voice.brain import LlmBrain

# Calls that think at once; each may remember so many tokens.
SLOTS = 4
CONTEXT_TOKENS = 4_096
QUIET = -1


class LlamaBrain(LlmBrain):
    """Thinks with the model of a file. Loading may take minutes: construct it off the event loop.

    Raises:
        OSError, ValueError: there is no such file, or it is no model.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise FileNotFoundError(f"there is no file {model}")
        key = secrets.token_urlsafe(32)
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key]
        params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT_TOKENS
        params.verbosity, params.ui = QUIET, False
        try:
            self._server = xllamacpp.Server(params)  # it ends with the object
        except RuntimeError as error:
            raise ValueError(f"{model} cannot be loaded: {error}") from error
        base_url = f"{self._server.listening_address}/v1"
        super().__init__(LlmClient(LlmSettings(base_url=base_url, model="local", api_key=SecretStr(key), attempts=1)))
