"""Removes from page URLs what must not be sent: secrets, and what belongs to a person.

Shops put a buyer's key into the URL of the status page (`?key=…`); sites put tokens, codes, phone
numbers and addresses into links. Which of the other parameters stay is a setting.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from urllib.parse import unquote

from target_liveintent.privacy.disguises import may_hold_address
from target_liveintent.privacy.identity import holds_address

_USER_INFO = re.compile(r"^(\s*(?:[a-z][a-z0-9+.-]*:)?//)[^/?#]*@", re.IGNORECASE)
_USER_INFO_WITHIN = re.compile(r"//[^/?#\s]*@")
_NAME_WITHIN = re.compile(r"[?&;#]([^=&;?#]{1,64})=")
_PATH_PARAMETER = re.compile(r";([^;/=]{1,64}=[^;/]*)")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_PERSONAL = {
    "phone and e-mail": "phone phonenumber phoneno telephone tel telno cell cellphone cellnumber"
    " mobile mobilephone mobilenumber mobileno landline msisdn whatsapp fax faxnumber email"
    " emailaddress mail",
    # Not `name` alone, which a product has as well.
    "names": "firstname fname givenname forename middlename mname lastname lname surname familyname"
    " maidenname fullname realname nickname username yourname contactname customername buyername"
    " guestname recipientname billingname shippingname cardholder cardholdername",
    # `line1` is the end of `address_line_1`.
    "addresses": "address address1 address2 address3 addr addr1 addr2 addressline addressline1"
    " addressline2 line1 line2 street street1 street2 streetname streetnumber housenumber houseno"
    " zip zip4 zipcode postcode postalcode",
    # `ofbirth` is the end of `date_of_birth`.
    "birth, documents, accounts": "birthday birthdate dateofbirth ofbirth dob ssn socialsecurity"
    " passport passportnumber taxid iban cardnumber accountnumber cvv cvc",
}
_SECRETS = frozenset(
    # What opens something to whoever has it.
    {"key", "apikey", "authkey", "accesskey", "token", "accesstoken", "authtoken", "refreshtoken"}
    | {"jwt", "csrf", "xsrf", "nonce", "otp", "totp", "pin", "code", "authcode", "ticket", "secret"}
    | {"pass", "passwd", "password", "passphrase", "passcode", "pwd", "credential", "credentials"}
    | {"sig", "signature", "hmac", "auth", "authorization", "bearer", "assertion", "samlresponse"}
    | {"samlrequest", "session", "sessionid", "sid", "jsessionid", "phpsessid", "cookie"}
    | {name for names in _PERSONAL.values() for name in names.split()}
)
"""What the last word of a parameter's name says, or the last two together, if its value is a secret
or personal: `reset_code`, `user[token]`, `phone-number`."""
_HARMLESS_CODES = frozenset(
    {"promocode", "promotioncode", "couponcode", "discountcode", "offercode", "campaigncode"}
    | {"sourcecode", "trackingcode", "referralcode", "refcode", "affiliatecode", "partnercode"}
    | {"countrycode", "regioncode", "statecode", "areacode"}
    | {"languagecode", "langcode", "localecode", "currencycode", "errorcode", "statuscode"}
    | {"productcode", "itemcode", "articlecode", "skucode", "modelcode", "brandcode", "storecode"}
    | {"categorycode", "stylecode", "colorcode", "colourcode", "sizecode"}
)
"""Last two words that are not a secret, although the last one is."""
_SECRET_PREFIXES = ("x-amz-", "x-goog-")
_ALWAYS_ATTRIBUTION = re.compile(r"li_did|utm_.*", re.IGNORECASE)
_CLICK_IDS = frozenset(
    {"gclid", "gclsrc", "gbraid", "wbraid", "dclid", "gad_source", "gad_campaignid", "srsltid"}
    | {"fbclid", "igshid", "msclkid", "ttclid", "twclid", "li_fat_id", "sccid", "rdt_cid", "epik"}
    | {"yclid", "irclickid", "cjevent", "awc", "tblci", "dicbo", "mc_cid"}
)
"""The parameters in which networks of advertising name a click or a campaign."""
_NEEDS_A_LOOK = re.compile(r"[@%=\\＠﹫]")  # noqa: RUF001
_LEVELS = 3
"""A URL in a parameter is searched as it came, and after each of two percent-decodings."""


def _all_but_secrets(parameter: str) -> str | None:
    name, _, value = parameter.partition("=")
    if _is_credential(_own_name(name)):
        return None
    if _NEEDS_A_LOOK.search(value) and (holds_address(value) or _contains_credential(value)):
        return None
    return parameter


def _attribution(parameter: str) -> str | None:
    name, equals_sign, value = parameter.partition("=")
    own = _own_name(name)
    if not _is_attribution(unquote(own)) or _all_but_secrets(parameter) is None:
        return None
    return f"{own}{equals_sign}{value}"


def _own_name(name: str) -> str:
    """Return a name without what comes before it in a fragment, or where semicolons separate."""
    return name.rpartition("?")[2].rpartition(";")[2]


URL_PARAMETERS: dict[str, Callable[[str], str | None]] = {
    "all_but_secrets": _all_but_secrets,
    "attribution": _attribution,
    "none": lambda _: None,
}
"""The values of the setting `source_url_parameters`: what is left of a parameter, None if nothing
is."""


def clean_url(url: str, kept: Callable[[str], str | None] = _all_but_secrets) -> str:
    """Remove credentials, and parameters that contain an address, from a URL or any other text.

    An address outside of a parameter's value stays in it.

    Args:
        url: The text.
        kept: What is left of a parameter, one of `URL_PARAMETERS`.
    """
    if "@" in url:
        url = _USER_INFO.sub(r"\1", url)
    if kept is _all_but_secrets and ("=" not in url or _is_plain(url)):
        return url
    page, hash_mark, fragment = url.partition("#")
    page, question_mark, query = page.partition("?")
    if ";" in page:
        page = _PATH_PARAMETER.sub(lambda found: _sendable(";", found[1], kept), page)
    return page + _sendable(question_mark, query, kept) + _sendable(hash_mark, fragment, kept)


def _is_plain(url: str) -> bool:
    """Return whether the names of all parameters stand there as they are, and none is a secret."""
    _, _, query = url.partition("?")
    if "?" in query or "#" in url or "%" in url or ";" in url or may_hold_address(query):
        return False
    return not any([_is_credential(one.partition("=")[0]) for one in query.split("&")])


def _sendable(mark: str, text: str, kept: Callable[[str], str | None]) -> str:
    if "=" not in text and kept is _all_but_secrets:
        return mark + text
    parameters = [left for one in text.split("&") if (left := kept(one)) is not None]
    return mark + "&".join(parameters) if parameters else ""


def _is_attribution(name: str) -> bool:
    return _ALWAYS_ATTRIBUTION.fullmatch(name) is not None or name.lower() in _CLICK_IDS


@functools.lru_cache(maxsize=1024)
def _is_credential(name: str) -> bool:
    """Return whether a parameter's name means a secret: `key`, `orderKey`, `user[token]`."""
    plain = unquote(name)
    if _is_attribution(plain):
        return False
    words = [word.lower() for word in _WORD.findall(plain)]
    ends = {"".join(words[-1:]), "".join(words[-2:])}
    if not ends.isdisjoint(_HARMLESS_CODES):
        return False
    return not ends.isdisjoint(_SECRETS) or plain.lower().startswith(_SECRET_PREFIXES)


def _contains_credential(value: str) -> bool:
    for _ in range(_LEVELS):
        if _USER_INFO_WITHIN.search(value) or any(map(_is_credential, _NAME_WITHIN.findall(value))):
            return True
        decoded = unquote(value)
        if decoded == value:
            return False
        value = decoded
    return False
