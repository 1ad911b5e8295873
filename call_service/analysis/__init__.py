"""What a call came to: summary, sentiment, answers to questions. No speech engine is imported from here."""

from call_service.analysis.models import Analysis, Answer, CallFacts, Question
from call_service.analysis.service import analyze

__all__ = ["Analysis", "Answer", "CallFacts", "Question", "analyze"]
