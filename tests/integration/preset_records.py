"""Records as the taps of the presets write them, with made-up people, and the events of them."""

import copy
import datetime as dt
import hashlib
from typing import Any, NamedTuple

Record = dict[str, Any]

LI_DID = "6d92078a-8246-4ba4-ae5b-76104861e7dc"
OTHER_DID = "0f0e7a52-9d1c-4c57-8a3e-2f5f0c7d9b11"
PAGE = f"https://shop.example.com/products/lamp?utm_source=liveintent&li_did={LI_DID}"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"


class Sample(NamedTuple):
    """A stream of a tap, and a record with a value in each column that the preset reads.

    `event` is the event of the record, without what the settings add.
    """

    stream: str
    keys: list[str]
    record: Record
    event: Record


def times(now: float) -> dict[str, str]:
    """Times of the last days, each another, as text."""
    ages = {"created": 3, "placed": 2, "paid": 1, "changed": 0.5}
    utc = dt.timezone.utc
    return {
        name: dt.datetime.fromtimestamp(now - days * 86_400, utc).strftime("%Y-%m-%dT%H:%M:%S")
        for name, days in ages.items()
    }


def unix(text: str) -> int:
    """A time of `times` in Unix seconds."""
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp())


def hashes(address: str) -> dict[str, str]:
    """What is sent of an address that is clean already."""
    raw = address.encode()
    return {
        "md5": hashlib.md5(raw, usedforsecurity=False).hexdigest(),
        "sha2": hashlib.sha256(raw).hexdigest(),
    }


def _event(
    event_id: str, at: str, source: str, purchase: Record | None = None, **user: str
) -> Record:
    """An event of the buyer, who came by the click of an ad if there is a purchase."""
    decision = {} if purchase is None else {"decisionId": LI_DID}
    identity = hashes("buyer@example.com")
    return {
        "eventId": event_id,
        "eventTime": unix(at),
        "source": source,
        **decision,
        "userData": {**identity, **user},
        "purchaseData": purchase or {},
    }


def _purchase(currency: str, value: float, order_id: str, page: str) -> Record:
    return {"currency": currency, "value": value, "orderId": order_id, "sourceUrl": page}


def _money(amount: float, currency: str, presented: float, presentment: str) -> Record:
    return {
        "shopMoney": {"amount": amount, "currencyCode": currency},
        "presentmentMoney": {"amount": presented, "currencyCode": presentment},
    }


def _shopify(now: float) -> Sample:
    at = times(now)
    record: Record = {
        "id": "gid://shopify/Order/820982911946154508",
        "legacyResourceId": "820982911946154508",
        "name": "#1007",
        "number": 1007.0,
        "cancelReason": None,
        "cancelledAt": None,
        "clientIp": "192.0.2.7",
        "createdAt": f"{at['created']}.000000Z",
        "currencyCode": "USD",
        # After a refund in part: what is left, what the buyer saw, what it was.
        "currentTotalPriceSet": _money(50.0, "USD", 7750.0, "JPY"),
        "totalPriceSet": _money(87.2, "USD", 13516.0, "JPY"),
        "originalTotalPriceSet": _money(87.28, "USD", 13528.0, "JPY"),
        "presentmentCurrencyCode": "JPY",
        "customAttributes": [
            {"key": "gift", "value": "yes"},
            {"key": "li_did", "value": OTHER_DID},
        ],
        "customer": {"id": "gid://shopify/Customer/7", "email": "account@example.com"},
        "customerAcceptsMarketing": True,
        "customerJourneySummary": {"lastVisit": {"landingPage": PAGE, "referrerUrl": None}},
        "displayFinancialStatus": "PARTIALLY_REFUNDED",
        "email": "buyer@example.com",
        "fullyPaid": True,
        "processedAt": f"{at['placed']}.000000Z",
        "sourceName": "web",
        "statusPageUrl": "https://shop.example.com/1/orders/2/authenticate?key=3",
        "test": False,
        "unpaid": False,
        "updatedAt": f"{at['changed']}.000000Z",
        "_sdc_shop_name": "Example Shop",
    }
    purchase = _purchase("USD", 87.28, "#1007", PAGE)
    event = _event(record["id"], at["placed"], "web", purchase, ip="192.0.2.7")
    return Sample("orders", ["id"], record, event)


def _shopify_rest(now: float) -> Sample:
    at = times(now)
    record: Record = {
        "id": 820982911946154508,
        "name": "#1007",
        "order_number": 1007,
        "browser_ip": "192.0.2.7",
        "buyer_accepts_marketing": True,
        "cancel_reason": None,
        "cancelled_at": None,
        "client_details": {"browser_ip": "192.0.2.8", "user_agent": BROWSER},
        "contact_email": "contact@example.com",
        "created_at": f"{at['created']}+00:00",
        "currency": "USD",
        "current_total_price": "50.00",
        "customer": {"id": 7, "email": "account@example.com"},
        "email": "buyer@example.com",
        "financial_status": "partially_refunded",
        "landing_site": f"/products/lamp?utm_source=liveintent&li_did={LI_DID}",
        "note_attributes": [{"name": "li_did", "value": OTHER_DID}],
        "order_status_url": "https://shop.example.com/1/orders/2/authenticate?key=3",
        "presentment_currency": "JPY",
        "processed_at": f"{at['placed']}+00:00",
        "source_name": "web",
        "test": False,
        "total_price": 87.28,
        "total_price_set": {
            "shop_money": {"amount": "87.28", "currency_code": "USD"},
            "presentment_money": {"amount": "13528", "currency_code": "JPY"},
        },
        "updated_at": f"{at['changed']}+00:00",
    }
    purchase = _purchase("USD", 87.28, "#1007", record["landing_site"])
    user = {"ip": "192.0.2.7", "ua": BROWSER}
    event = _event("820982911946154508", at["placed"], "web", purchase, **user)
    return Sample("orders", ["id"], record, event)


def _opportunity(now: float) -> Sample:
    at = times(now)
    record: Record = {
        "Id": "006Hs00000AbCdEIAV",
        "IsDeleted": False,
        "CreatedDate": f"{at['created']}.000000Z",
        "LastModifiedDate": f"{at['changed']}.000000Z",
        "SystemModstamp": f"{at['changed']}.000000Z",
        "LastStageChangeDate": f"{at['paid']}.000000Z",
        "Name": "Example Ltd - Renewal",
        "StageName": "Closed Won",
        "Amount": 12000.5,
        "CurrencyIsoCode": "EUR",
        "CloseDate": f"{at['placed'][:10]}T00:00:00.000000Z",
        "LeadSource": "Web",
        "IsClosed": True,
        "IsWon": True,
        "Contact_Email__c": "Buyer@Example.com",
        "Contact_Opted_Out__c": False,
        "Web_Order_Number__c": "00004501",
        "LI_Decision_Id__c": LI_DID,
        "Landing_Page__c": "https://www.example.com/demo?utm_source=liveintent",
        "Client_IP__c": "192.0.2.7",
        "User_Agent__c": BROWSER,
    }
    page = "https://www.example.com/demo?utm_source=liveintent"
    purchase = _purchase("EUR", 12000.5, "00004501", page)
    user = {"ip": "192.0.2.7", "ua": BROWSER}
    event = _event(record["Id"], at["paid"], "offline", purchase, **user)
    return Sample("Opportunity", ["Id"], record, event)


def _lead(now: float) -> Sample:
    at = times(now)
    record: Record = {
        "Id": "00QHs00000AbCdEMAV",
        "IsDeleted": False,
        "Email": " Buyer@Example.com",
        "LeadSource": "Web",
        "Status": "Open - Not Contacted",
        "IsConverted": True,
        "ConvertedDate": f"{at['paid'][:10]}T00:00:00.000000Z",
        "CreatedDate": f"{at['created']}.000000Z",
        "LastModifiedDate": f"{at['changed']}.000000Z",
        "SystemModstamp": f"{at['changed']}.000000Z",
        "HasOptedOutOfEmail": False,
        "IsEmailBounced": False,
        "LI_Decision_Id__c": LI_DID,
        "Landing_Page__c": PAGE,
    }
    event = _event(record["Id"], at["created"], "web")
    return Sample("Lead", ["Id"], record, event)


def _stripe(now: float) -> Sample:
    at = times(now)
    record: Record = {
        "id": "ch_3QExampleExampleExample",
        "object": "charge",
        "amount": 13000,
        "amount_captured": 12550,
        "amount_refunded": 2550,
        "billing_details": {"email": "payer@example.com", "name": "Bo Buyer", "phone": None},
        "captured": True,
        "created": f"{at['placed']}.000000Z",
        "currency": "usd",
        "disputed": False,
        "invoice": None,
        "livemode": True,
        "metadata": {
            "order_id": "W-9001",
            "li_did": LI_DID,
            "source_url": "https://shop.example.com/checkout/1",
            "client_ip": "192.0.2.7",
            "user_agent": BROWSER,
        },
        "paid": True,
        "payment_intent": "pi_3QExample",
        "payment_method_details": {"type": "card", "card": {"brand": "visa"}},
        "receipt_email": "buyer@example.com",
        "receipt_url": "https://pay.example.com/receipts/1",
        "refunded": False,
        "status": "succeeded",
        "updated": f"{at['changed']}.000000Z",
        "updated_by_event_type": "charge.updated",
    }
    purchase = _purchase("USD", 125.5, "W-9001", "https://shop.example.com/checkout/1")
    user = {"ip": "192.0.2.7", "ua": BROWSER}
    event = _event(record["id"], at["placed"], "web", purchase, **user)
    return Sample("charges", ["id"], record, event)


def _postgres(now: float) -> Sample:
    at = times(now)
    record: Record = {
        "id": "9bf8c4be-8b3f-415c-8623-226aa6e2318e",
        "order_no": 100005,
        "created_at": f"{at['created']}.617280+00:00",
        "paid_at": f"{at['paid']}.617280+00:00",
        "updated_at": f"{at['changed']}.617280+00:00",
        "status": "paid",
        "customer_email": " Buyer@Example.com ",
        "channel": "App",
        "currency": "jpy",
        "total": 420.18,
        "client": {
            "ip": "192.0.2.8",
            "ua": BROWSER,
            "session": {"idfa": "8b6f6a0c-6f1c-4d7e-9a51-0c4f7b0b1d2e", "consent": True},
        },
        "client_ip": "192.0.2.7",
        "landing_url": PAGE,
        "is_test": False,
        "_sdc_deleted_at": None,
    }
    purchase = _purchase("JPY", 420.18, "100005", PAGE)
    user = {"ip": "192.0.2.7", "ua": BROWSER, "idfa": "8b6f6a0c-6f1c-4d7e-9a51-0c4f7b0b1d2e"}
    event = _event(record["id"], at["paid"], "app", purchase, **user)
    return Sample("public-orders", ["id"], record, event)


_SAMPLES = {
    "shopify": _shopify,
    "shopify_rest": _shopify_rest,
    "salesforce_opportunity": _opportunity,
    "salesforce_lead": _lead,
    "stripe_charges": _stripe,
    "postgres_orders": _postgres,
}


def sample(preset: str, now: float) -> Sample:
    """A preset's stream, with times of the days before `now`."""
    return _SAMPLES[preset](now)


def changed(record: Record, changes: dict[str, Any]) -> Record:
    """A record with other values at some paths; `...` removes what is there."""
    record = copy.deepcopy(record)
    for path, value in changes.items():
        *steps, last = path.split(".")
        inner: Any = record
        for step in steps:
            inner = inner[int(step) if isinstance(inner, list) else step]
        place = int(last) if isinstance(inner, list) else last
        if value is ...:
            del inner[place]
        else:
            inner[place] = value
    return record


def paths(value: Any) -> list[str]:
    """All paths to something within a value, objects and lists included."""
    items = dict(enumerate(value)) if isinstance(value, list) else value
    found = []
    for step, inner in items.items() if isinstance(items, dict) else ():
        found += [f"{step}", *(f"{step}.{path}" for path in paths(inner))]
    return found
