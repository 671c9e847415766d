"""The errand of clients.mjs with PyPI's blockrun-llm. environment: NODE_URL, WALLET_KEY"""

import json
import os
import time

from blockrun_llm import APIError
from blockrun_llm.phone import PhoneClient
from blockrun_llm.voice import VoiceClient

options = {"private_key": os.environ["WALLET_KEY"], "api_url": os.environ["NODE_URL"] + "/api"}
phone, voice = PhoneClient(**options), VoiceClient(**options)

bought = phone.buy_number(country="US", area_code="415")
number = bought["phone_number"]
listed = phone.list_numbers()
looked = phone.lookup("+14155550123")
try:
    fraud = phone.lookup_fraud("+14155550123")
except APIError as error:
    fraud = error.status_code
call = voice.call(
    to="+14155550123",
    task="Ask the dentist for the opening hours on Friday.",
    from_=number,
    max_duration=2,
)
deadline = time.monotonic() + 30
while True:
    told = voice.get_status(call["call_id"])
    if told["status"] not in ("queued", "started", "ringing", "in-progress", "in_progress"):
        break
    if time.monotonic() > deadline:
        raise SystemExit("the call does not end")
    time.sleep(0.1)
renewed = phone.renew_number(number)
released = phone.release_number(number)

answers = {"bought": bought, "list": listed, "looked": looked, "fraud": fraud, "call": call, "told": told}
answers |= {"renewed": renewed, "released": released}
print(json.dumps(answers))
