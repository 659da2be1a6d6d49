"""The column titles that Leadline knows, as ``column_key`` writes them.

The canonical title comes first; after it, the more telling alias comes first, so that "Job Title"
wins over "Title", which may hold "Dr". English, German, French, Spanish and Portuguese. A title in
two lists ("nom", "nombre") is the whole name where it stands alone and a half beside its partner.
"""

ALIASES: dict[str, tuple[str, ...]] = {
    key: tuple(titles.split())
    for key, titles in {
        "name": """name fullname contactname leadname prospectname personname displayname person contact
            ansprechpartner ansprechperson kontaktperson kontakt vollstandigername nomcomplet nometprenom
            prenometnom nombrecompleto nombreyapellidos nomecompleto contacto contato nom nombre nome""",
        "first_name": """firstname givenname forename first vorname prenom primeironome primernombre
            nombre nome""",
        "last_name": """lastname surname familyname last nachname familienname nomdefamille apellidos
            apellido sobrenome apelido nom""",
        "role": """role jobtitle jobrole jobposition currentjobtitle currenttitle currentposition
            currentrole contacttitle position designation occupation jobfunction function title job
            berufsbezeichnung stellenbezeichnung jobbezeichnung rolle funktion beruf
            intituledeposte intituleduposte poste fonction metier titre cargo puesto
            puestodetrabajo rol funcion funcao posicao""",
        "company": """company companyname currentcompany organization organisation organizationname
            organisationname accountname account employer business businessname firm firma firmenname
            unternehmen unternehmensname arbeitgeber entreprise nomdelentreprise societe nomdelasociete
            raisonsociale employeur empresa nombredelaempresa nombreempresa nomedaempresa nomeempresa
            compania companhia organizacion organizacao""",
        "industry": """industry companyindustry industryname industrysector industrytype sector
            businesssector marketsector vertical branch branche industrie wirtschaftszweig
            wirtschaftssektor sektor secteur secteurdactivite brancheindustrie industria
            sectorindustrial rubro ramo ramodeatividade setor setordeatividade""",
        "location": """location contactlocation personlocation companylocation locality place
            geography headquarters hq standort unternehmensstandort sitz localisation emplacement
            lieu ubicacion localizacion localidad localizacao local""",
        "city": "city town contactcity companycity stadt ort wohnort ville ciudad cidade municipio",
        "region": """region state province county stateprovince stateregion stateorprovince bundesland
            departement provincia estado regiao""",
        "country": "country countryregion nation land staat pays pais",
        "linkedin_bio": """linkedinbio linkedinsummary linkedinabout linkedindescription linkedinheadline
            bio biography about aboutme profilesummary summary headline biografie kurzprofil
            zusammenfassung ubermich biographie apropos resume biografia acercade resumen resumo sobre""",
    }.items()
}

KNOWN_KEYS = frozenset(key for keys in ALIASES.values() for key in keys)
