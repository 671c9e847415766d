//! The languages, as data. Words are written as they are spoken; accents and apostrophes are dropped from them
//! as from what is heard. A new language is one more entry, and lines in the tests of what is a wish and what
//! only sounds like one.

/// See [`Tongue`](super::Tongue) for what the lists mean, and [`pattern`](super::pattern) for how they are
/// written.
pub(super) struct Told {
    pub objects: &'static str,
    pub requests: &'static [&'static str],
    pub commands: &'static [&'static str],
    pub removals: &'static [&'static str],
    pub lists: &'static [&'static str],
    pub telling: &'static str,
    pub denials: &'static str,
    pub courtesies: &'static str,
}

pub(super) const TONGUES: [Told; 7] = [
    // English
    Told {
        objects: "me|us|here|this_number|this_phone|this_house|my_number|my_phone|at_this_number|on_this_number",
        requests: &["dont|do_not ever? call|phone|ring @?", "never call @?"],
        commands: &["stop|quit calling|phoning|ringing @?", "not to call @?"],
        removals: &[
            "take|remove|delete|get me|us|my_number|this_number|my_name off|from * list|lists *",
            "remove|delete me|us|my_number|this_number|my_name",
        ],
        lists: &["do_not|dont call list"],
        telling: "i we you they he she",
        denials: "dont not never",
        courtesies: "again anymore any more ever please thanks thank you ok okay now sir maam",
    },
    // German
    Told {
        objects: "mich|uns|hier|diese_nummer|meine_nummer|unter_dieser_nummer|mich_hier|uns_hier|bei_uns|bei_mir",
        requests: &[
            "ruf|rufe|ruft|rufen sie? bitte? @? bitte? nicht|nie|niemals mehr|wieder|mehr_wieder? @? an",
            "hör|hört|hören sie? bitte? auf @? anzurufen",
            "hör|hört|hören sie? bitte? auf mit den|diesen|ihren anrufen",
        ],
        commands: &[
            "@ bitte? nicht|nie|niemals mehr|wieder|mehr_wieder anrufen|anzurufen|anrufen_sollen",
            "bitte nicht|nie|niemals mehr|wieder anrufen",
            "will|möchte|wollen|möchten von_ihnen? nicht|nie mehr|wieder von_ihnen? angerufen werden",
            "will|möchte|wünsche|wollen|möchten keine anrufe mehr|von_ihnen|mehr_von_ihnen",
        ],
        removals: &[
            "streich|streichen|nimm|nehmen|lösch|lösche|löschen|entfernen|entferne sie? bitte? \
             mich|uns|meine_nummer|diese_nummer|meinen_namen bitte? von|aus * liste|verteiler|kartei|datenbank *",
            "lösch|lösche|löschen|entfernen|entferne|streichen sie? bitte? meine_nummer|diese_nummer",
        ],
        lists: &[],
        telling: "ich wir sie ihr er die",
        denials: "nicht nie",
        courtesies: "bitte danke okay ok ja jetzt schön vielen dank",
    },
    // Spanish
    Told {
        objects: "aquí|a_este_número|a_mi_número|a_esta_casa|a_mi_teléfono|a_este_teléfono",
        requests: &[
            "no me|nos llame|llamen|llames más? @?",
            "no llame|llamen|llames más @?",
            "no llame|llamen|llames @",
            "no me|nos vuelva|vuelvan|vuelvas a llamar @?",
            "no vuelva|vuelvan|vuelvas a llamar|llamarme|llamarnos @?",
        ],
        commands: &[
            "deje|dejen|deja|paren|pare de llamar|llamarme|llamarnos @?",
            "no quiero|queremos que me|nos llame|llamen más?",
            "no quiero|queremos que me|nos vuelva|vuelvan a llamar",
            "no quiero|queremos más llamadas|llamadas_suyas",
        ],
        removals: &[
            "quíteme|quítenme|sáqueme|sáquenme|bórreme|bórrenme|elimíneme|elimínenme de * lista|listas *",
            "quite|borre|elimine|saque|quiten|borren|eliminen mi|este número|nombre de * lista|listas *",
            "borre|elimine|borren|eliminen mi|este número",
        ],
        lists: &[],
        telling: "yo él ella ellos ustedes usted",
        denials: "no",
        courtesies: "por favor gracias nunca jamás más ya vale señor señora",
    },
    // French
    Told {
        objects: "ici|ce_numéro|à_ce_numéro|mon_numéro|chez_moi|chez_nous",
        requests: &[
            "ne? m'appelez|m'appelle|m'appeler|me_rappelez|me_rappelle|me_rappeler plus|jamais|plus_jamais @?",
            "ne m'appelez|m'appelle|me_rappelez|me_rappelle pas @?",
            "ne nous appelez|rappelez|appeler|rappeler plus|jamais|pas|plus_jamais @?",
            "n'appelez|n'appelle|ne_rappelez plus|jamais|plus_jamais @?",
            "ne plus m'appeler|nous_appeler|me_rappeler|nous_rappeler|appeler @?",
        ],
        commands: &[
            "arrêtez|arrête|cessez|cesse de m'appeler|nous_appeler|me_rappeler|nous_rappeler|téléphoner @?",
            "arrêtez|arrête|cessez|cesse d'appeler @?",
            "ne veux|voulons|souhaite plus que vous m'appeliez|nous_appeliez|me_rappeliez",
            "ne veux|voulons|souhaite plus être appelé|appelée|appelés|appelées|rappelé|rappelée",
            "ne veux|voulons|souhaite plus recevoir? d'appels|de_vos_appels|vos_appels",
        ],
        removals: &[
            "retirez|enlevez|rayez|supprimez|retire|enlève|raye|supprime moi|nous|mon_numéro|ce_numéro|mon_nom de|des \
             * liste|listes|fichier|fichiers *",
            "supprimez|effacez|retirez|supprime|efface mon|ce numéro",
        ],
        lists: &[],
        telling: "je tu il elle on nous vous ils elles ne",
        denials: "ne pas",
        courtesies: "s'il vous plaît te merci monsieur madame maintenant d'accord",
    },
    // Italian
    Told {
        objects: "qui|questo_numero|a_questo_numero|il_mio_numero|a_casa",
        requests: &[
            "non mi|ci chiami|chiamate|chiamare|richiami|richiamate più|mai_più|mai? @?",
            "non chiamatemi|chiamarmi|chiamateci|chiamarci|richiamatemi più|mai_più? @?",
            "non chiami|chiamate|chiamare|telefoni|telefonate più|mai_più @?",
        ],
        commands: &[
            "smetta|smettete|smettetela|smettila|smetti di chiamare|chiamarmi|chiamarci|telefonare|telefonarmi @?",
            "non voglio|vogliamo più essere chiamato|chiamata|chiamati|contattato|contattata",
            "non voglio|vogliamo più ricevere? chiamate|telefonate",
        ],
        removals: &[
            "mi|ci tolga|tolgano|cancelli|cancellino|rimuova|elimini da|dalla|dalle|dal * lista|liste|elenco *",
            "toglietemi|cancellatemi|rimuovetemi|eliminatemi da|dalla|dalle|dal * lista|liste|elenco *",
            "cancelli|cancellate|elimini|rimuova|tolga il_mio|questo numero",
        ],
        lists: &[],
        telling: "io lui lei loro voi noi",
        denials: "non",
        courtesies: "per favore grazie cortesia piacere mai ora adesso signore signora",
    },
    // Portuguese
    Told {
        objects: "aqui|para_cá|para_aqui|para_mim|para_este_número|para_esse_número|para_o_meu_número|a_este_número",
        requests: &[
            "não me|nos ligue|liguem|ligues|telefone|telefonem|chame|chamem mais|nunca_mais|novamente|de_novo? @?",
            "não ligue|liguem|ligues|telefone|telefonem mais @?",
            "não ligue|liguem|telefone|telefonem @",
            "nunca mais me|nos ligue|liguem|telefone|telefonem",
        ],
        commands: &[
            "pare|parem|para|deixe|deixem de me|nos? ligar|telefonar|ligar-me @?",
            "não quero|queremos mais receber? ligações|chamadas|telefonemas",
            "não quero|queremos que me|nos ligue|liguem mais",
        ],
        removals: &[
            "me|nos tire|tirem|retire|retirem|remova|removam da|de|das * lista|listas *",
            "tire|tirem|retire|retirem|remova|removam|apague o? meu|este|esse|me número|nome|da * lista|listas *",
            "apague|apaguem|remova|removam o? meu|este|esse número",
        ],
        lists: &[],
        telling: "eu ele ela eles elas você vocês",
        denials: "não",
        courtesies: "por favor obrigado obrigada nunca mais já agora senhor senhora",
    },
    // Dutch
    Told {
        objects: "mij|me|ons|hier|dit_nummer|mijn_nummer|naar_dit_nummer|op_dit_nummer",
        requests: &[
            "bel|belt u|jullie? @? alstublieft|alsjeblieft? niet|nooit meer|weer? @?",
            "stop|stopt|hou|houd|houdt u? op? met mij|me|ons? bellen|te_bellen @?",
        ],
        commands: &[
            "@ niet|nooit meer bellen|te_bellen|opbellen",
            "wil|willen niet|nooit meer gebeld worden|te_worden",
            "wil|willen geen telefoontjes meer",
        ],
        removals: &[
            "haal|haalt|verwijder|verwijdert|schrap|schrapt u? mij|me|ons|mijn_nummer|dit_nummer alstublieft|alsjeblieft? \
             van|uit * lijst|bestand *",
            "verwijder|verwijdert|schrap|wis u? mijn|dit nummer",
        ],
        lists: &["bel_me_niet register|lijst"],
        telling: "ik wij we hij zij ze jullie die",
        denials: "niet nooit",
        courtesies: "alstublieft alsjeblieft graag bedankt dank u je wel meer nu mevrouw meneer",
    },
];
