"""Page URLs: credentials and addresses are removed, and the rest stays, byte for byte."""

import time
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit_support import LI_DID

from target_liveintent.privacy.urls import URL_PARAMETERS, clean_url

PAGE = "https://shop.example/p"

# Parameters that hold a secret, or what belongs to a person

SECRETS = """
    key KEY Key order_key order-key x.key api_key apikey api-key token Token access_token
    access-token accesstoken accessToken id_token authenticity_token reset_password_token csrf-token
    authtoken authkey signature Signature X-Amz-Signature X-Goog-Signature sig hub.signature
    X-Amz-Credential X-Amz-Security-Token x-amz-date csrf_token access_key secret client_secret
    password passwd pwd user_password auth jwt session sessionid session_id_token sid otp credential
    session_id code auth_code reset-code verificationCode passcode pin nonce hmac ticket
    serviceTicket pass user[pass] passphrase PHPSESSID JSESSIONID phone customer_phone phoneNumber
    my-phone-number tel mobile msisdn SAMLResponse email mail first_name lastName birthday iban cvc
    fname lname customer_fname givenName contact-name recipientName cell cell_phone Mobile faxNumber
    address address1 address_1 billing_address addressLine1 address_line_2 street house_number zip
    zip_code zipcode ZIP postalCode postcode date_of_birth card[number] phone2 telefono2 address_3
    token1 credit_card postal mdp motdepasse mot_de_passe motDePasse mot-passe jeton cle_api clé nom
    nom_client nom[famille] prénom pr%C3%A9nom pr%E9nom PRENOM pre\u0301nom codePostal code_postal
    cp rue adresse adresse_1 téléphone tel_portable courriel adresse_email date_naissance
    dateDeNaissance numero_secu passwort kennwort benutzername Vorname kunde_vorname nachname plz
    PLZ postleitzahl straße stra%C3%9Fe stra%DFe strasse hausnummer hausNr telefon telefonnummer
    handy handy_nr geburtsdatum Geburtstag schlüssel schluessel sitzungsId steuer_id kontonummer
    lieferadresse rechnung[strasse] contraseña contrasena clave código nombre nombre_completo
    apellidos dirección calle codigo_postal codigoPostal teléfono telefono_movil móvil correo
    correo_electronico fecha_nacimiento fechaDeNacimiento dni usuario[nombre] codice nome
    nome_utente cognome indirizzo cap cellulare codice_fiscale data_di_nascita numeroTelefono
    numero_civico chiave sessione senha palavra-passe chave nome_completo sobrenome apelido endereço
    rua morada cep telefone telemóvel celular data_de_nascimento cpf sessão datadenascimento
    wachtwoord sleutel naam voornaam achternaam straat straatnaam huisnummer telefoonnummer mobiel
    e-mailadres geboortedatum bsn
"""
"""Names of parameters that are removed, also in the languages of the markets."""


@pytest.mark.parametrize("name", SECRETS.split())
def test_secrets_are_removed(name: str) -> None:
    """In the query, in the fragment, and in a URL in a parameter; the neighbours stay."""
    hidden = quote(f"/next?a=1&{name}=s3cr3t", safe="")
    assert clean_url(f"{PAGE}?a=1&{name}=s3cr3t&utm_source=x") == f"{PAGE}?a=1&utm_source=x"
    assert clean_url(f"{PAGE}#a=1&{name}=s3cr3t") == f"{PAGE}#a=1"
    assert clean_url(f"{PAGE}?a=1&next={hidden}") == f"{PAGE}?a=1"


HARMLESS = """
    promo_code promocode discountCode coupon-code country_code lang_code area_code productCode
    store[code] barcode encode passenger hotel bypass tickets codes phones emails name_of_shop
    utm_code city name product_name zipped excel automobile addressed filename utm_name
    campaign_name lang page sort color size id v2 item3 nom_produit produit_nom mot_cle codepromo
    code_promo pays_code ville rubrique gutscheincode gutschein_code rabatt-code landesCode
    kategorie ort stadt farbe größe seite suche produktname artikelnummer nombre_producto
    producto_nombre palabra_clave codigo_promocional ciudad talla idioma nome_prodotto parola-chiave
    codice_sconto taglia via palavraChave produto_nome cidade tamanho kortingscode productNaam taal
    maat plaats bestelnummer ordernummer pagina %E9tat tri
"""


@pytest.mark.parametrize("name", HARMLESS.split())
def test_names_that_only_look_like_secrets(name: str) -> None:
    """A promotion's code or a country's is nobody's secret; a product's name is nobody's own."""
    url = f"{PAGE}?{name}=x&a=1"
    assert clean_url(url) == url


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("?a=1&key=s3cr3t&b=2", "?a=1&b=2"),
        ("?a=1&key=s3=cr3t=&token", "?a=1&token"),
        ("?key=s3cr3t#top", "#top"),
        ("#key=s3cr3t&a=1", "#a=1"),
        ("?a=1#/route?b=2&key=s3cr3t", "?a=1#/route?b=2"),
        # Some servers put the session behind a semicolon in the path.
        (";jsessionid=s3cr3t", ""),
        (";jsessionid=s3cr3t?utm_source=x", "?utm_source=x"),
        (";v=1;sid=s3cr3t/x;w=2?a=1", ";v=1/x;w=2?a=1"),
        # User name and password stand before the host.
        *((f"?u={quote(url)}", "") for url in ("https://u:s3cr3t@localhost", "//s3cr3t@shop/x")),
        ("https://user:pw@shop.example/p?a=1#x", "https://shop.example/p?a=1#x"),
        ("https://@shop.example/", "https://shop.example/"),
        ("http://user:p%40w@127.0.0.1:81/", "http://127.0.0.1:81/"),
        ("//user:pw@shop.example/p", "//shop.example/p"),
    ],
    ids=str,
)
def test_the_rest_of_a_url_stays(url: str, left: str) -> None:
    """Of a URL only the parameter with the secret is removed, wherever it stands."""
    start = "" if "//" in left else PAGE
    assert clean_url(start + url) == start + left


@pytest.mark.parametrize(
    "url",
    [
        *(f"{PAGE}?key=x?s3cr3t", f"{PAGE}?a=1?key=s3cr3t", f"{PAGE}#a=1?token=s3cr3t"),
        *(f"{PAGE}?return_to=/orders/1?key=s3cr3t", "?key=s3cr3t", "//shop.example/?token=s3cr3t"),
        *("/checkout/order-received/17/?key=wc_order_s3cr3t", "http://[::1/?token=s3cr3t"),
        *("https://user:p@s3cr3t@shop.example/", "HTTPS://User:s3cr3t@SHOP.example?a=1"),
        *("//a:s3cr3t@localhost/p", "ftp://user:s3cr3t@shop.example"),
        *("https://user:s3cr3t@10.0.0.1:8080/p", "https://user:s3cr3t@localhost#top"),
        "https://user:s3cr3t@localhost?x=1",
        # Other separators, brackets, capitals, and percent-encoding.
        *(f"{PAGE}?a=1;key=s3cr3t", f"{PAGE}?a=1&amp;key=s3cr3t", f"{PAGE}?orderKey=s3cr3t"),
        *(f"{PAGE}?cartToken=s3cr3t", f"{PAGE}?user[token]=s3cr3t", f"{PAGE}?%6Bey=s3cr3t"),
        f"{PAGE}?next=/x%3Fkey=s3cr3t",
        *(f"{PAGE}?user%5Btoken%5D=s3cr3t", f"{PAGE}?return_to=%2Forders%2F1%3Fkey%3Ds3cr3t"),
        f"{PAGE}?a=1&return_to=https%3A%2F%2Fx.example%2F%3Fa%3D1%26token%3Ds3cr3t",
    ],
)
def test_secrets_are_removed_anywhere(url: str) -> None:
    """They are removed from whole URLs, paths, fragments and almost-URLs, in any spelling."""
    assert "s3cr3t" not in clean_url(url)


# Attribution, and everything else

KEPT = [
    *("", " ", "=", "?", "#", "&", "?=&#=", "/", "p", "a=b", "not a url at all"),
    *("?utm_source=li", "/collections/all?utm_source=li", "\ud800?a=\udfff"),
    *("android-app://com.google.android.gm", "https://[::1]:81/?a=1", "https://[broken/?a=1"),
    *("https://shop.example/", "https://shop.example:port/?a=1", "https://shop.example/\n?a=1\n"),
    *("https://shop.example/img//big@2x?a=1", "https://shop.example/@handle?a=1"),
    "https://shop.example/ümlaut/☃?é=ü&utm_source=☃",
    *(f"{PAGE}?", f"{PAGE}#", f"{PAGE}?x=1#", f"{PAGE}#top", f"{PAGE}?x=1#token"),
    *(f"{PAGE}?x=1#ann@example.com", f"{PAGE}?token#a=1", f"{PAGE}#/route?x=1"),
    *(f"{PAGE}#a=1&utm_source=x", f"{PAGE}?at=a@b", f"{PAGE}?a=b?c=d", f"{PAGE}?q=a;b;c"),
    *(f"{PAGE};v=1;w?utm_source=x", f"{PAGE}?a=1&token", f"{PAGE}?q=summer%20sale%21&x=a%26b"),
    *(f"{PAGE}?a&b=&=c&&d=1&", f"{PAGE}?a=%zz&b=%&c=+%20", f"{PAGE}?li_did={LI_DID}"),
    f"{PAGE}?li_did={LI_DID}&utm_source=li&utm_medium=e%20mail+x&utm_campaign=%C3%BC",
    *(f"{PAGE}?LI_DID=x&UTM_Source=A", f"{PAGE}/ann@example.com?a=1", f"{PAGE}?ann@example.com"),
    f"{PAGE}?utm_key=1&utm_token=2&utm_signature=3&utm_id=a%40b",
    f"{PAGE}?gclid=Cj0-_x&fbclid=IwAR&msclkid=1&ttclid=2&_kx=a.b",
    f"{PAGE}?keyword=a&monkey=b&tokens=3&signatures=4&keys=5&author=d&design=e",
]


@pytest.mark.parametrize("url", KEPT)
def test_everything_else_stays_byte_for_byte(url: str) -> None:
    """Attribution in any case and encoding, and texts that are not URLs, stay unchanged."""
    assert clean_url(url) == url


# Addresses


ADDRESSES = [
    *("ann@example.com", "ANN@EXAMPLE.COM", "ann%40example.com", "ann%40EXAMPLE%2Ecom"),
    *("ann%2540example.com", "mailto:ann@example.com", "to-ann%2Bx%40example.com-now"),
    *("%3Fe%3Dann%2540example.com", "a;b,ann@example.com", r"ann\u0040example.com"),
    *("ann\uff20example.com", "ann%26%2364%3Bexample.com", "ann@localhost", "ann@[10.1.2.3]"),
    *("ann=40example.com", "to=ann=40example.com", "ann%u0040example.com", "ann%3D40example.com"),
]
NAMES = ("e", "email", "utm_content", "li_did", "", "ann")


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("li_did", value) for value in ADDRESSES), *((name, ADDRESSES[0]) for name in NAMES)],
    ids=str,
)
def test_parameters_with_an_address_are_removed(name: str, value: str) -> None:
    """The name does not matter, even that of attribution; the other parameters stay."""
    for mark in "?#":
        url = f"{PAGE}{mark}utm_source=x&{name}={value}&b=1"
        assert clean_url(url) == f"{PAGE}{mark}utm_source=x&b=1"
        assert clean_url(f"{PAGE}{mark}{name}={value}") == PAGE
        assert (
            clean_url(f"{PAGE}{mark}a=1&u=https://x.example/?{name}={value}") == f"{PAGE}{mark}a=1"
        )


@pytest.mark.parametrize("hidden", ["?key=s3cr3t", "https://s3cr3t@shop/x"])
def test_how_often_a_url_in_a_parameter_may_be_encoded(hidden: str) -> None:
    """A credential is found in a URL that is plain, or encoded once or twice, and not deeper."""
    for _ in range(3):
        assert clean_url(f"{PAGE}?a=1&next={hidden}") == f"{PAGE}?a=1"
        hidden = quote(hidden, safe="")
    assert clean_url(f"{PAGE}?a=1&next={hidden}") == f"{PAGE}?a=1&next={hidden}"


# Any text

pinned = settings(max_examples=200)
pieces = st.sampled_from(
    [
        *("https:", "//", "/", "?", "#", "&", ";", "=", "@", ":", "%40", "%3D", " ", "\n", "."),
        *("key=", "token=", "signature=", "utm_source=", "li_did=", "user:pw@", "a=1", "a@b.com"),
        *("shop.example", "localhost", "[::1]", "ü", "\ud800", "x", "utm_", "key", "s3cr3t"),
    ]
)
urls = st.lists(pieces, max_size=14).map("".join)
modes = st.sampled_from(list(URL_PARAMETERS))


@pinned
@given(st.one_of(urls, st.text(st.characters(codec=None), max_size=40)), modes)
@example("https://u@h/?n=https://a@b/?a=1", "all_but_secrets")
@example("//a@//b@c?a=1", "all_but_secrets")
def test_cleaning_twice_changes_nothing(url: str, mode: str) -> None:
    """A replay cleans the URL of a dead letter again and must give the event again."""
    kept = URL_PARAMETERS[mode]
    assert clean_url(clean_url(url, kept), kept) == clean_url(url, kept)


values = st.text(
    st.characters(codec="utf-8", exclude_characters="&#?@%", exclude_categories=["Cc", "Zs"])
)
plain = st.tuples(
    st.sampled_from(["li_did", "utm_source", "utm_campaign", "UTM_Term", "gclid", "a"]), values
).map("=".join)
GONE = ("key=s3cr3t", "my_token=s3cr3t", "signature=", "e=a@b.com", "x=a%40b.de")
parameters = st.lists(st.one_of(plain, st.sampled_from(GONE)), min_size=1, max_size=6)


@pinned
@given(parameters, st.sampled_from("?#"))
def test_what_stays_is_what_came(cleaned: list[str], mark: str) -> None:
    """Any mix of parameters loses the credentials and addresses, and keeps order and bytes."""
    left = "&".join(one for one in cleaned if one not in GONE)
    assert clean_url(PAGE + mark + "&".join(cleaned)) == PAGE + (left and mark + left)


@pytest.mark.parametrize(
    "query",
    ["a_" * 50_000 + "=1", "a=1&" * 20_000, "?a=1" * 300, "a=//" + "b@" * 20_000, "?" * 50_000],
    ids=["long-name", "many", "questions", "ats", "marks"],
)
def test_long_urls_take_no_time(query: str) -> None:
    """The time is linear in the length of a URL."""
    started = time.process_time()
    clean_url(f"{PAGE}?{query}=%40")
    assert time.process_time() - started < 1.0


# The setting source_url_parameters


@pytest.mark.parametrize(
    ("url", "attribution", "none"),
    [
        (f"{PAGE}?a=1&li_did={LI_DID}&b", f"{PAGE}?li_did={LI_DID}", PAGE),
        (f"{PAGE}?utm_source=a&UTM_Term=&x=1", f"{PAGE}?utm_source=a&UTM_Term=", PAGE),
        (f"{PAGE}?gclid=a&fbclid=b&msclkid=c&q=d", f"{PAGE}?gclid=a&fbclid=b&msclkid=c", PAGE),
        (f"{PAGE}?token&utm_source=x", f"{PAGE}?utm_source=x", PAGE),
        (f"{PAGE}?utm_content=ann@example.com&utm_id=1", f"{PAGE}?utm_id=1", PAGE),
        (f"{PAGE}?utm_content=%3Fkey%3Ds3cr3t", PAGE, PAGE),
        (f"{PAGE}?utm%5Fsource=x&a=1", f"{PAGE}?utm%5Fsource=x", PAGE),
        (f"{PAGE}?a=1&amp;utm_source=x", f"{PAGE}?utm_source=x", PAGE),
        (f"{PAGE}#top", PAGE, PAGE),
        (f"{PAGE}#/reset/s3cr3t?utm_source=x&a=1", f"{PAGE}#utm_source=x", PAGE),
        (f"{PAGE};sid=s3cr3t;a=1?gclid=x", f"{PAGE}?gclid=x", PAGE),
        (f"https://user:s3cr3t@shop.example/p?a=1#{PAGE}", PAGE, PAGE),
        ("/p?a=1&utm_source=x", "/p?utm_source=x", "/p"),
    ],
    ids=[
        "device id",
        "UTM parameters",
        "click ids",
        "token without a value",
        "address in a UTM",
        "secret in a UTM",
        "escaped name",
        "HTML escape",
        "fragment alone",
        "route in the fragment",
        "session in the path",
        "user and password",
        "path alone",
    ],
)
def test_the_setting_can_keep_only_attribution_or_nothing(
    url: str, attribution: str, none: str
) -> None:
    """Only those of attribution stay, or none; the page stays in any case."""
    assert clean_url(url, URL_PARAMETERS["attribution"]) == attribution
    assert clean_url(url, URL_PARAMETERS["none"]) == none
