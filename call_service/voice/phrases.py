"""What the session says of itself, in the languages that it knows."""

from call_service.spoken.languages import primary_of
from call_service.voice.options import Phrases

_BY_LANGUAGE = {
    "de": Phrases(
        repeat="Entschuldigung, das habe ich nicht verstanden. Können Sie es bitte wiederholen?",
        apology="Es tut mir leid, bei mir gibt es ein technisches Problem. Bitte versuchen Sie es später noch einmal. "
        "Auf Wiederhören.",
        time_is_up="Es tut mir leid, unsere Zeit ist um. Vielen Dank und auf Wiederhören.",
        rescue="Es tut mir leid, bei mir gibt es ein technisches Problem. Ich verbinde Sie mit einem Kollegen.",
        not_connected="Es tut mir leid, dort ist gerade niemand zu erreichen.",
        goodbye="Ich muss das Gespräch jetzt beenden. Auf Wiederhören.",
        fillers=("Einen Moment, bitte.", "Ich bin noch da, einen Augenblick bitte."),
    ),
    "es": Phrases(
        repeat="Perdone, no le he entendido. ¿Puede repetirlo, por favor?",
        apology="Lo siento, tengo un problema técnico. Por favor, inténtelo más tarde. Adiós.",
        time_is_up="Lo siento, se nos ha acabado el tiempo. Gracias y adiós.",
        rescue="Lo siento, tengo un problema técnico. Le paso con un compañero.",
        not_connected="Lo siento, ahora mismo no contesta nadie allí.",
        goodbye="Tengo que terminar la llamada. Adiós.",
        fillers=("Un momento, por favor.", "Sigo aquí, un momento."),
    ),
    "fr": Phrases(
        repeat="Excusez-moi, je n'ai pas compris. Pouvez-vous répéter, s'il vous plaît ?",
        apology="Je suis désolé, j'ai un problème technique. Veuillez réessayer plus tard. Au revoir.",
        time_is_up="Je suis désolé, le temps est écoulé. Merci et au revoir.",
        rescue="Je suis désolé, j'ai un problème technique. Je vous mets en relation avec un collègue.",
        not_connected="Je suis désolé, personne ne répond en ce moment.",
        goodbye="Je dois mettre fin à l'appel. Au revoir.",
        fillers=("Un instant, s'il vous plaît.", "Je suis toujours là, un instant."),
    ),
    "it": Phrases(
        repeat="Mi scusi, non ho capito. Può ripetere, per favore?",
        apology="Mi dispiace, ho un problema tecnico. La prego di riprovare più tardi. Arrivederci.",
        time_is_up="Mi dispiace, il tempo è scaduto. Grazie e arrivederci.",
        rescue="Mi dispiace, ho un problema tecnico. La metto in contatto con un collega.",
        not_connected="Mi dispiace, in questo momento non risponde nessuno.",
        goodbye="Devo terminare la chiamata. Arrivederci.",
        fillers=("Un momento, per favore.", "Sono ancora qui, un momento."),
    ),
    "nl": Phrases(
        repeat="Sorry, dat heb ik niet verstaan. Kunt u het herhalen?",
        apology="Het spijt me, er is bij mij een technisch probleem. Probeert u het later nog eens. Tot ziens.",
        time_is_up="Het spijt me, onze tijd is om. Dank u wel en tot ziens.",
        rescue="Het spijt me, er is bij mij een technisch probleem. Ik verbind u door met een collega.",
        not_connected="Het spijt me, daar is nu niemand te bereiken.",
        goodbye="Ik moet het gesprek nu beëindigen. Tot ziens.",
        fillers=("Een moment, alstublieft.", "Ik ben er nog, een ogenblik."),
    ),
    "pt": Phrases(
        repeat="Desculpe, não entendi. Pode repetir, por favor?",
        apology="Desculpe, estou com um problema técnico. Por favor, tente mais tarde. Adeus.",
        time_is_up="Desculpe, o nosso tempo acabou. Obrigado e adeus.",
        rescue="Desculpe, estou com um problema técnico. Vou passar a ligação a um colega.",
        not_connected="Desculpe, ninguém atende lá neste momento.",
        goodbye="Tenho de terminar a chamada. Adeus.",
        fillers=("Um momento, por favor.", "Ainda estou aqui, um momento."),
    ),
}


def phrases_in(language: str) -> Phrases:
    """By a tag such as `de-DE` (RFC 5646); English where the language is none of these."""
    return _BY_LANGUAGE.get(primary_of(language), Phrases())
