//! The agent's own phrases in languages other than English.

use std::collections::BTreeMap;

use crate::voice::Phrases;

pub(super) fn phrases() -> BTreeMap<String, Phrases> {
    [("de", german()), ("es", spanish()), ("fr", french())].map(|(code, said)| (code.to_owned(), said)).into()
}

fn german() -> Phrases {
    Phrases {
        disclosure: "Guten Tag, hier spricht eine KI-Assistenz.".into(),
        recording_notice: "Dieses Gespräch wird aufgezeichnet.".into(),
        still_there: "Sind Sie noch da?".into(),
        one_moment: "Einen Moment, bitte.".into(),
        did_not_catch: "Entschuldigung, das habe ich nicht verstanden. Könnten Sie es bitte wiederholen?"
            .into(),
        apology: "Entschuldigung, ich habe ein technisches Problem. Einen Moment, bitte.".into(),
        wrap_up: "Leider ist unsere Zeit um, ich muss das Gespräch jetzt beenden. Auf Wiederhören.".into(),
        goodbye: "Auf Wiederhören.".into(),
        connecting: "Einen Moment, bitte, ich verbinde Sie.".into(),
        not_reached: "Leider habe ich dort niemanden erreicht. Kann ich Ihnen sonst weiterhelfen?".into(),
        introduction: "Ich habe jemanden in der Leitung, der Sie sprechen möchte.".into(),
        put_through:
            "Soll ich verbinden? Sagen Sie Ja oder drücken Sie die Eins. Zum Ablehnen sagen Sie Nein \
                      oder drücken Sie die Zwei."
                .into(),
    }
}

fn spanish() -> Phrases {
    Phrases {
        disclosure: "Hola, le habla un asistente de inteligencia artificial.".into(),
        recording_notice: "Esta llamada se graba.".into(),
        still_there: "¿Sigue ahí?".into(),
        one_moment: "Un momento, por favor.".into(),
        did_not_catch: "Perdone, no le he entendido. ¿Podría repetirlo?".into(),
        apology: "Perdone, tengo un problema técnico. Un momento, por favor.".into(),
        wrap_up: "Lo siento, se nos ha acabado el tiempo y tengo que terminar la llamada. Adiós.".into(),
        goodbye: "Adiós.".into(),
        connecting: "Un momento, por favor, le paso.".into(),
        not_reached: "Lo siento, no he podido localizar a nadie. ¿Puedo ayudarle en algo más?".into(),
        introduction: "Tengo a una persona en la línea que quiere hablar con usted.".into(),
        put_through: "¿Se la paso? Diga sí o pulse uno. Para rechazar, diga no o pulse dos.".into(),
    }
}

fn french() -> Phrases {
    Phrases {
        disclosure: "Bonjour, je suis un assistant d'intelligence artificielle.".into(),
        recording_notice: "Cet appel est enregistré.".into(),
        still_there: "Êtes-vous toujours là ?".into(),
        one_moment: "Un instant, s'il vous plaît.".into(),
        did_not_catch: "Excusez-moi, je n'ai pas compris. Pouvez-vous répéter ?".into(),
        apology: "Excusez-moi, j'ai un problème technique. Un instant, s'il vous plaît.".into(),
        wrap_up: "Je suis désolé, notre temps est écoulé et je dois mettre fin à l'appel. Au revoir.".into(),
        goodbye: "Au revoir.".into(),
        connecting: "Un instant, s'il vous plaît, je vous passe quelqu'un.".into(),
        not_reached: "Je suis désolé, je n'ai pu joindre personne. Puis-je vous aider autrement ?".into(),
        introduction: "J'ai une personne en ligne qui souhaite vous parler.".into(),
        put_through: "Puis-je vous la passer ? Dites oui ou tapez un. Pour refuser, dites non ou tapez deux."
            .into(),
    }
}
