"""The simulated carrier: real audio, no network, callees by number."""

from call_service.carriers.simulated.book import ScriptBook, ScriptError
from call_service.carriers.simulated.carrier import SimulatedCarrier
from call_service.carriers.simulated.leg import SimulatedLeg
from call_service.carriers.simulated.progress import Timing

__all__ = ["ScriptBook", "ScriptError", "SimulatedCarrier", "SimulatedLeg", "Timing"]
