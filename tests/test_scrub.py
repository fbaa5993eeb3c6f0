"""What the scrubber takes out, what it leaves alone, and the laws it keeps on any input."""

from __future__ import annotations

import json
import math
import random
import re
import string
import subprocess
import sys
import time
from enum import Enum, StrEnum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import scrub, scrub_rules
from ingest.scrub import is_plain_id, is_secret_key, properties, redact, stack, text
from ingest.stack_hash import STACK_CHARS_MAX as STACK_CHARS_READ
from ingest.stack_hash import explain, stack_hash
from ingest.vocabulary import METADATA, MetadataKey
from tests.examples import examples

CASES = Path(__file__).parent / "cases"

_draw = random.Random(2026)
_ALPHABETS = {
    "a": string.ascii_letters + string.digits,
    "h": "0123456789abcdef",
    "u": string.ascii_uppercase + string.digits,
    "l": string.ascii_lowercase + string.digits,
    "d": string.digits,
    "b": string.ascii_letters + string.digits + "_-",
    "s": string.ascii_letters + string.digits + "+/",
    "w": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
}


def drawn(form: str) -> str:
    """Return a token of a form such as `ghp_<a36>`: 36 letters and digits after the prefix."""
    pieces = form.replace(">", "<").split("<")
    return "".join(
        "".join(_draw.choice(_ALPHABETS[piece[0]]) for _ in range(int(piece[1:])))
        if index % 2
        else piece
        for index, piece in enumerate(pieces)
    )


VENDOR_FORMS = {
    "1password": ("ops_eyJ<a260>", "A3-<u6>-<u6>-<u5>-<u5>-<u5>-<u5>"),
    "adobe": ("p8e-<a32>",),
    "age": ("AGE-SECRET-KEY-1<u58>",),
    "airtable": ("pat<a14>.<h64>", "key1<a13>"),
    "aiven": ("AVNS_<b19>",),
    "alibaba": ("LTAI<a20>",),
    "anthropic": ("sk-ant-api03-<b93>AA", "sk-ant-admin01-<b93>AA", "sk-ant-oat01-<b93>AA"),
    "artifactory": ("AKCp<a69>", "cmVmdGtu<a56>"),
    "asana": ("1/<d16>:<h32>", "2/<d16>/<d16>:<h32>"),
    "atlassian": ("ATATT3<b186>", "ATCTT3<b120>", "ATBB<a32>", "ATTA<h64>"),
    "authress": ("sc_<l10>.<l5>.acc-<l12>.<a40>",),
    "aws_key_id": ("AKIA<u16>", "ASIA<u16>", "AROA<u17>"),
    "aws_bedrock": ("ABSK<a109>",),
    "azure_client_secret": ("<a3>8Q~<b34>", "<a3>7Q~<b31>"),
    "azure_devops": ("<a52>AZDO<a4>", "<l52>"),
    "azure_storage": ("<a76>+ASt<a6>==",),
    "braintree": ("access_token$production$<l16>$<h32>",),
    "brevo": ("xkeysib-<h64>-<a16>",),
    "buildkite": ("bkua_<h40>",),
    "cerebras": ("csk-<l48>",),
    "circleci": ("CCIPAT_<a22>_<h40>",),
    "clickhouse": ("4b1d<a38>",),
    "clickup": ("pk_<d8>_<u32>",),
    "clojars": ("CLOJARS_<l60>",),
    "cloudflare": ("v1.0-<h24>-<h146>", "cfut_<a40>"),
    "cockroach": ("CCDB1_<a22>_<a40>",),
    "contentful": ("CFPAT-<b43>",),
    "crates": ("cio1<a31>",),
    "databricks": ("dapi<h32>", "dapi<h32>-2"),
    "datadog": ("ddapp_<a34>", "pub<h32>"),
    "defined": ("dnkey-<b26>-<b52>",),
    "deno": ("ddp_<a36>",),
    "digitalocean": ("dop_v1_<h64>", "doo_v1_<h64>", "dor_v1_<h64>"),
    "discord_bot": ("MT1A<a20>.G<a5>.<b38>", "mfa.<b84>"),
    "dockerhub": ("dckr_pat_<b27>", "dckr_oat_<b32>"),
    "doppler": ("dp.pt.<a43>", "dp.st.prd.<a40>", "dp.ct.<a43>"),
    "dropbox": ("sl.<b135>", "sl.u.<b135>"),
    "duffel": ("duffel_live_<b43>",),
    "dynatrace": ("dt0c01.<u24>.<u64>",),
    "e2b": ("e2b_<h40>",),
    "easypost": ("EZAK<a54>", "EZTK<a54>"),
    "elastic": ("essu_<a60>",),
    "facebook": ("EAAC<a150>", "<d15>|<b27>"),
    "fastly": ("fastly_<b32>",),
    "figma": ("figd_<b40>", "figo_<b40>"),
    "firebase": ("AAAA<b7>:APA91b<b134>",),
    "flutterwave": ("FLWSECK-<h32>-X", "FLWSECK_TEST-<h32>-X"),
    "flyio": ("fo1_<b43>", "fm2_<s120>==", "fm1r_<s120>"),
    "frameio": ("fio-u-<b64>",),
    "gcp_api_key": ("AIza<b35>",),
    "gcp_oauth": ("ya29.<b120>", "GOCSPX-<b28>", "1//0g<b60>"),
    "github": ("ghp_<a36>", "gho_<a36>", "ghu_<a36>", "ghr_<a36>", "github_pat_<a22>_<a59>"),
    "gitlab": ("glpat-<b20>", "gldt-<b20>", "glrt-<b20>", "glcbt-<a5>_<b20>", "GR1348941<b20>"),
    "grafana": ("glsa_<a32>_<h8>", "glc_<s60>="),
    "groq": ("gsk_<a52>",),
    "harness": ("pat.<a22>.<h24>.<a20>",),
    "heroku": ("HRKU-<h8>-<h4>-<h4>-<h4>-<h12>", "HRKU-AA<b58>"),
    "hubspot": ("pat-na1-<h8>-<h4>-<h4>-<h4>-<h12>",),
    "huggingface": ("hf_<a34>", "api_org_<a34>"),
    "infracost": ("ico-<a32>",),
    "intercom": ("dG9rO<a55>=",),
    "langsmith": ("lsv2_pt_<h32>_<h10>",),
    "launchdarkly": ("sdk-<h8>-<h4>-<h4>-<h4>-<h12>", "api-<h8>-<h4>-<h4>-<h4>-<h12>"),
    "linear": ("lin_api_<a40>", "lin_oauth_<h64>"),
    "linkedin": ("AQV<b170>", "WPL_AP1.<a16>.<a6>=="),
    "lob": ("live_<h35>", "test_pub_<h31>"),
    "mailchimp": ("<h32>-us12",),
    "mailgun": ("key-<h32>", "pubkey-<h32>", "<h32>-<h8>-<h8>"),
    "mapbox": ("pk.eyJ<a57>.<a22>", "sk.eyJ<a57>.<a22>"),
    "maxmind": ("<a6>_<a29>_mmk",),
    "mollie": ("live_1<a31>",),
    "mongodb": ("mdb_sa_sk_<b40>",),
    "nats": ("SU<w56>",),
    "neon": ("napi_<l64>",),
    "netlify": ("nfp_<a36>", "nfc_<a36>"),
    "newrelic": ("NRAK-<u27>", "NRJS-<h19>", "NRII-<b32>", "<h36>FFFFNRAL"),
    "notion": ("ntn_<d11><a35>", "secret_<a43>"),
    "npm": ("npm_<a36>",),
    "nuget": ("oy2<l43>",),
    "nvidia": ("nvapi-<b64>",),
    "octopus": ("API-<u26>",),
    "okta": ("00<b40>",),
    "onesignal": ("os_v2_app_<l100>",),
    "openai": (
        "sk-<a20>T3BlbkFJ<a20>",
        "sk-proj-<b74>T3BlbkFJ<b74>",
        "sk-svcacct-<b58>T3BlbkFJ<b58>",
        "sk-or-v1-<h64>",
        "sk-lf-<h8>-<h4>-<h4>-<h4>-<h12>",
        "sk-1<l31>",
    ),
    "openshift": ("sha256~<b43>",),
    "paddle": ("pdl_live_apikey_<l26>_<a22>_<a3>",),
    "paypal": ("A21AA<b90>",),
    "perplexity": ("pplx-<a48>",),
    "pinecone": ("pcsk_<a6>_<a60>",),
    "plaid": ("access-sandbox-<h8>-<h4>-<h4>-<h4>-<h12>",),
    "planetscale": ("pscale_tkn_<b43>", "pscale_oauth_<b43>", "pscale_pw_<b43>"),
    "polar": ("polar_oat_<a40>",),
    "posthog": ("phc_<a43>", "phx_<a43>", "phs_<a43>"),
    "postman": ("PMAK-<h24>-<h34>",),
    "prefect": ("pnu_<a36>",),
    "pulumi": ("pul-<h40>",),
    "pypi": ("pypi-AgEIcHlwaS5vcmc<b150>",),
    "razorpay": ("rzp_live_<a14>",),
    "readme": ("rdme_<l70>",),
    "render": ("rnd_<a28>",),
    "replicate": ("r8_<a37>",),
    "resend": ("re_1<a7>_<a24>",),
    "rubygems": ("rubygems_<h48>",),
    "salesforce": ("00D<a12>!<a90>",),
    "scaleway": ("SCW<u17>",),
    "scalingo": ("tk-us-<b48>",),
    "sendgrid": ("SG.<b22>.<b43>",),
    "sentry": ("sntryu_<h64>", "sntrys_eyJ<a120>_<a43>"),
    "settlemint": ("sm_pat_<a16>", "sm_aat_<a16>"),
    "shippo": ("shippo_live_<h40>",),
    "shopify": ("shpat_<h32>", "shpca_<h32>", "shppa_<h32>", "shpss_<h32>"),
    "slack": (
        "xoxb-<d13>-<d13>-<a24>",
        "xoxp-<d12>-<d12>-<d12>-<h32>",
        "xoxe.xoxp-1-<u163>",
        "xoxs-<d10>-<d10>-<d10>-<h10>",
        "xapp-1-<u11>-<d13>-<h64>",
    ),
    "slack_path": ("T<u10>/B<u10>/<a24>",),
    "snyk": ("snyk_uat.<h8>.<b60>",),
    "sonar": ("sqp_<h40>", "squ_<h40>", "sqa_<h40>"),
    "sourcegraph": ("sgp_<h40>", "sgp_<h16>_<h40>"),
    "square": ("EAAA<b60>", "sq0atp-<b22>", "sq0csp-<b43>"),
    "statsig": ("secret-1<a42>",),
    "stripe": ("sk_live_<a24>", "rk_live_<a24>", "sk_test_<a99>", "pk_live_<a24>", "whsec_<a32>"),
    "supabase": ("sbp_<h40>", "sb_secret_<b31>"),
    "tailscale": ("tskey-auth-<a17>-<a32>",),
    "tavily": ("tvly-dev-<a32>",),
    "telegram": ("<d10>:AA<b33>",),
    "tencent": ("AKID<a32>",),
    "terraform": ("<a14>.atlasv1.<b67>",),
    "together": ("tgp_v1_<b43>",),
    "twilio": ("SK<h32>", "AC<h32>"),
    "twitter": ("AAAAAAAAAAAAAAAAAAAAAA<a80>", "<d18>-<a40>"),
    "typeform": ("tfp_<a44>_<a14>",),
    "vault": ("hvs.<b95>", "hvb.<b140>", "s.1<a23>"),
    "vercel": ("vcp_<a56>", "vercel_blob_rw_<a16>_<a30>"),
    "wix": ("IST.<b80>",),
    "xai": ("xai-<a80>",),
    "yandex": ("AQVN<b36>", "t1.<b12>.<b86>", "y0_<b54>"),
}

# One or more examples per rule: what it is given, and what it makes of it on its own.
RULE_EXAMPLES = {
    "private_key": (
        ("a\n---¦--BEGIN PRIVATE KEY-----\nAbc\n-----END PRIVATE KEY-----\nb", "a\n[key]\nb"),
    ),
    "private_key_tail": (("A" * 64 + "\nAbc=\n---¦--END PRIVATE KEY-----\nb", "[key]\nb"),),
    "putty_key": (
        ("PuTTY-User-Key-File-2: ssh-rsa\nAbc\nPrivate-MAC: 0123456789ab\nb", "[key]\nb"),
    ),
    "jwt": (("a ey¦JhbGciOiJIUzI1NiJ9.\nabc.def b", "a [jwt] b"),),
    "oracle": (("jdbc:oracle:thin:scott/tiger@//db", "jdbc:oracle:thin:[secret]@//db"),),
    "url": (("at https://a:b@x.io/c?d#e.", "at https://x.io/c."),),
    "authorization": (('Authorization: Digest a="b", c="d"', "Authorization: Digest [secret]"),),
    "cookie": (("Set-Cookie: a=b; Path=/", "Set-Cookie: a=[secret]; Path=/"),),
    "bearer": (("Bearer abcFAKE99", "Bearer [secret]"), ("Bearer token", "Bearer token")),
    "user_password": (("curl -u bob:hunter2", "curl -u [user]:[secret]"),),
    "command_password": (("sshpass -p hunter2 ssh x", "sshpass -p [secret] ssh x"),),
    "sql_password": (("identified by 'hunter'", "identified by '[secret]'"),),
    "netrc": (("login bob password hunter", "login bob password [secret]"),),
    "sql_values": (
        (
            "insert into t (n, pw) values (1, 'a''b', \"c\")",
            "insert into t (n, pw) values (1, '[secret]', '[secret]')",
        ),
        ("insert into t (n, m) values (1, 'a')",) * 2,
    ),
    "redis_auth": (
        ("redis.AUTH hunter", "redis.AUTH [secret]"),
        ("redis.AUTH failed: x",) * 2,
    ),
    "pgpass": (
        ("db:5432:app:bob:hunter", "db:5432:app:bob:[secret]"),
        ("db:5432:bob:hunter", "db:5432:bob:[secret]"),
        ("cart.py:420:total:bad and org:1234:project:abc",) * 2,
    ),
    "mnemonic": (
        ("mnemonic: apple pear plum fig\nn", "mnemonic: [secret]\nn"),
        ("mnemonic: checksum mismatch",) * 2,
    ),
    "table": (
        ("| n | 1 |\n| password | a b |", "| n | 1 |\n| password | [secret] |"),
        ("| user | password | created |",) * 2,
    ),
    "name_value": (
        (
            "name: DB_PASSWORD\nvalue: hunter\nname: LOG\nvalue: info",
            "name: DB_PASSWORD\nvalue: [secret]\nname: LOG\nvalue: info",
        ),
        ("name: DB_PASSWORD\nname: LOG\nvalue: info",) * 2,
    ),
    "value_name": (('{"value":"a b","name":"pin"}', '{"value":"[secret]","name":"pin"}'),),
    "key_value": (("db_pass: hunter, n: 1", "db_pass: [secret], n: 1"),),
    "userinfo": (("bob:hunter@tcp(db)/x", "[secret]@tcp(db)/x"),),
    "login_at_host": (("ssh -v bob@db1 failed", "ssh -v [user] failed"),),
    "email": (
        ("to a@b.io", "to [email]"),
        ("'a@b.io', o'b@c.io", "'[email]', [email]"),
        ("pkg@v1.34.0", "pkg@v1.34.0"),
    ),
    "spelled_email": (("bob [at] x [dot] io", "[email]"),),
    "after_keyword": (("key a1b2c3d4e5f6g7 bad", "key [token] bad"),),
    "quoted_path": (('"/home/a/My Stuff/x y.txt"', '"x y.txt"'),),
    "windows_path": (("C:\\Users\\A B\\x.py", "x.py"),),
    "posix_path": (("/srv/acme/x.py:3", "x.py:3"), ("GET /orders/3", "GET /orders/3")),
    "bare_home": (("Users/alice/app/x.py", "x.py"),),
    "encoded_home": (("%2Fhome%2Falice%2Fx", "[path]"),),
    "dashed_home": (("-Users-alice-app", "[path]"),),
    "ipv4": (("10.1.2.3", "[ip]"), ("version 10.1.2.3, 127.0.0.1", "version 10.1.2.3, 127.0.0.1")),
    "mac": (("00:1a:2b:3c:4d:5e", "[id]"),),
    "ipv6": (
        ("fe80::1", "[ip]"),
        ("Fee::add() at 10:22:33 on ::1", "Fee::add() at 10:22:33 on ::1"),
    ),
    "aws_host": (("ip-10-1-2-3.internal", "[ip].internal"),),
    "card": (("4111 1111 1111 1111", "[card]"), ("4111111111111112", "4111111111111112")),
    "ssn": (("219-09-9999", "[id]"),),
    "iban": (("DE89 3704 0044 0532 0130 00", "[id]"), ("DE88370400440532013000",) * 2),
    "phone": (("+1 415 555 0132", "[phone]"), ("UTC +0200", "UTC +0200")),
    "phone_after_word": (("phone: 555 0132 77", "phone: [phone]"),),
    "long_hex": (("0123456789abcdef" * 2, "[hash]"), ("a93c7d2",) * 2),
    "opaque": (("A1b2C3d4E5f6G7h8I9j0", "[token]"), ("SomeVeryLongCamelCaseClassName",) * 2),
}

HOSTILE_TOKENS = (
    "a",
    " ",
    "\t",
    "=",
    "a.",
    "a@",
    "/a/",
    "~/",
    "C:\\a ",
    "\\",
    "sk-",
    "-",
    "1-",
    "+1 ",
    "4111 ",
    "f:f::",
    "eyJ",
    'password="',
    "key=,",
    "a:b@",
    "http://a@",
    "Cookie: a=b; ",
    "mysql -p",
    "-u a:",
    "-----BEGIN PRIVATE KEY-----",
    "PuTTY-User-Key-File-2:",
    "Authorization: a=b, ",
    "\ud800",
    "\u202ea",
    "<password>",
    "[a](",
    "|",
    "at a (",
    "  at a (b:1:1)\n",
    "password=(",
    "key=a('",
    "name:pin ",
    '"value":"',
    "into t (pw) values ('",
    "| pin | a ",
    "a:5432:",
    "mnemonic: ",
    "password[a]",
    "pin for a ",
    'File "a", line 1\n',
    "%2Fhome%2Fa",
)

SECRETS = [
    ("password=hunter2-FAKE", "hunter2-FAKE"),
    ("password: hunter2-FAKE", "hunter2-FAKE"),
    ("password : 'hunter2-FAKE'", "hunter2-FAKE"),
    ("passwd=hunter2-FAKE!", "hunter2-FAKE!"),
    ("pwd=hunter2-FAKE", "hunter2-FAKE"),
    ("Pwd=Sup3r$FAKE;Encrypt=yes", "Sup3r$FAKE"),
    ('{"password":"hunter2-FAKE"}', "hunter2-FAKE"),
    ('{"password" : "hunter2-FAKE", "n": 1}', "hunter2-FAKE"),
    ("{'password': 'hunter2-FAKE'}", "hunter2-FAKE"),
    ("{'api_key': 'abcFAKE123'}", "abcFAKE123"),
    ("apiKey: 'abcFAKE123'", "abcFAKE123"),
    ("API_KEY=abcFAKE123", "abcFAKE123"),
    ("api-key=abcFAKE123", "abcFAKE123"),
    ("api key: abcFAKE123", "abcFAKE123"),
    ("API Key = abcFAKE123", "abcFAKE123"),
    ("x-api-key: abcFAKE123", "abcFAKE123"),
    ("client_secret=abcFAKE123", "abcFAKE123"),
    ('clientSecret: "abcFAKE123"', "abcFAKE123"),
    ("ClientSecret=abcFAKE123", "abcFAKE123"),
    ("DB_PASSWORD='hunter2 FAKE'", "hunter2 FAKE"),
    ("export DB_PASS=hunter2FAKE", "hunter2FAKE"),
    ("set TOKEN=abcFAKE", "abcFAKE"),
    ("$env:TOKEN = 'abcFAKE99'", "abcFAKE99"),
    ("TOKEN := abcFAKE99", "abcFAKE99"),
    ("--token abcFAKE99", "abcFAKE99"),
    ("--token=abcFAKE99", "abcFAKE99"),
    ("--password hunter2-FAKE --verbose", "hunter2-FAKE"),
    ("--api-key 'abcFAKE99'", "abcFAKE99"),
    ("-password hunterFAKE", "hunterFAKE"),
    ("--client-secret=abcFAKE99", "abcFAKE99"),
    ("mysql -u root -phunter2FAKE db", "hunter2FAKE"),
    ("mysql -u root -p'hunter2FAKE' db", "hunter2FAKE"),
    ("mysqldump --password=hunter2FAKE", "hunter2FAKE"),
    ("redis-cli -a hunter2FAKE ping", "hunter2FAKE"),
    ("docker login -u bob -p hunter2FAKE reg.io", "hunter2FAKE"),
    ("curl -u alice:hunter2FAKE https://x.io", "hunter2FAKE"),
    ("curl --user alice:hunter2FAKE https://x.io", "hunter2FAKE"),
    ("curl -ualice:hunter2FAKE https://x.io", "hunter2FAKE"),
    ("curl -H 'Authorization: Bearer abcFAKE99xyz' https://x", "abcFAKE99xyz"),
    ('curl -H "X-Api-Key: abcFAKE99xyz"', "abcFAKE99xyz"),
    ("wget --http-password=hunter2FAKE", "hunter2FAKE"),
    ("sshpass -phunter2FAKE ssh x", "hunter2FAKE"),
    ("sshpass -p 'hunter2FAKE' ssh x", "hunter2FAKE"),
    ("http -a alice:hunter2FAKE x.io", "hunter2FAKE"),
    ("<password>hunter2FAKE</password>", "hunter2FAKE"),
    ('<Password type="text">hunter2FAKE</Password>', "hunter2FAKE"),
    ("<secret>\n  hunter2FAKE\n</secret>", "hunter2FAKE"),
    ('<property name="password" value="hunter2FAKE"/>', "hunter2FAKE"),
    ('<entry key="db.password">hunter2FAKE</entry>', "hunter2FAKE"),
    ("<input name='password' value='hunter2FAKE'>", "hunter2FAKE"),
    ('\\"password\\": \\"hunter2FAKE\\"', "hunter2FAKE"),
    ('{\\"token\\":\\"abcFAKE99\\"}', "abcFAKE99"),
    ('\\\\\\"password\\\\\\":\\\\\\"hunter2FAKE\\\\\\"', "hunter2FAKE"),
    ("password%3Dhunter2FAKE", "hunter2FAKE"),
    ("%22password%22%3A%22hunter2FAKE%22", "hunter2FAKE"),
    ("&quot;password&quot;:&quot;hunter2FAKE&quot;", "hunter2FAKE"),
    ("password:\n  hunter2FAKE", "hunter2FAKE"),
    ("password: |\n  hunter2FAKE", "hunter2FAKE"),
    ("password: >-\n    hunter2FAKE", "hunter2FAKE"),
    ("password =\n hunter2FAKE", "hunter2FAKE"),
    ("password => 'hunter2FAKE'", "hunter2FAKE"),
    ("'password' => \"hunter2FAKE\"", "hunter2FAKE"),
    (':password => "hunter2FAKE"', "hunter2FAKE"),
    ("password=`hunter2FAKE`", "hunter2FAKE"),
    ("login(user='bob', password='hunter2FAKE')", "hunter2FAKE"),
    ("connect(host=db, password=hunter2FAKE)", "hunter2FAKE"),
    ("Client(token=abcFAKE99, n=3)", "abcFAKE99"),
    ("User(name='x', passwordHash='abcFAKE99')", "abcFAKE99"),
    ("Config{Password:hunter2FAKE Host:db}", "hunter2FAKE"),
    ("&{Token:abcFAKE99}", "abcFAKE99"),
    ('Credentials { secret: "abcFAKE99" }', "abcFAKE99"),
    ("('Authorization', 'Bearer abcFAKE99zz')", "abcFAKE99zz"),
    ("('X-Api-Key', 'abcFAKE99')", "abcFAKE99"),
    ('["password", "hunter2FAKE"]', "hunter2FAKE"),
    ("(b'Authorization', b'Bearer abcFAKE99zz')", "abcFAKE99zz"),
    ("the password is hunter2FAKE", "hunter2FAKE"),
    ("password was 'hunter2FAKE'", "hunter2FAKE"),
    ("wrong password 'hunter2FAKE' for bob", "hunter2FAKE"),
    ("your otp is 493817", "493817"),
    ("otp: 493817", "493817"),
    ("PIN=4821", "4821"),
    ("cvv: 737", "737"),
    ('"cvc": 737', "737"),
    ("IDENTIFIED BY 'hunter2FAKE'", "hunter2FAKE"),
    ("ALTER USER x WITH PASSWORD 'hunter2FAKE'", "hunter2FAKE"),
    ("machine x.io login bob password hunter2FAKE", "hunter2FAKE"),
    ("jdbc:oracle:thin:scott/tigerFAKE@//db:1521/x", "tigerFAKE"),
    ("jdbc:mysql://db/x?user=a&password=p4ssFAKE", "p4ssFAKE"),
    ("jdbc:sqlserver://db:1433;user=sa;password=p4ssFAKE;", "p4ssFAKE"),
    ("Server=db;Database=x;User Id=sa;Password=p4ss,FAKE;", "p4ss,FAKE"),
    ("root:p4ssFAKE@tcp(127.0.0.1:3306)/db", "p4ssFAKE"),
    ("mongodb+srv://bob:p4ssFAKE@c0.abc.mongodb.net/db?retryWrites=true", "p4ssFAKE"),
    ("amqps://bob:p4ssFAKE@mq:5671/%2f", "p4ssFAKE"),
    ("postgresql://bob:p4ss/FAKE@db/x", "p4ss/FAKE"),
    ("https://bob:p4ss@FAKE@db.io/x", "p4ss@FAKE"),
    ("redis://:p4ssFAKE@cache:6379/0", "p4ssFAKE"),
    (
        "https://abcFAKE0123456789abcdef01234567@o1.ingest.sentry.io/42",
        "abcFAKE0123456789abcdef01234567",
    ),
    ("https://x-access-token:abcFAKE@github.com/o/r.git", "abcFAKE"),
    (
        (
            "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=abcFAKE+/01234"
            "56789==;EndpointSuffix=core"
        ),
        "abcFAKE+/0123456789==",
    ),
    ("Endpoint=sb://x.net/;SharedAccessKeyName=Root;SharedAccessKey=abcFAKE/+=", "abcFAKE/+="),
    ("cloudinary://123456789012345:abcFAKEdefGHI@cloud", "abcFAKEdefGHI"),
    ("GET /reset?token=abcFAKE99 404", "abcFAKE99"),
    ("https://x.io/a#access_token=abcFAKE99&b=1", "abcFAKE99"),
    ("http://x.io:8080/p?sig=abcFAKE99%3D", "abcFAKE99"),
    ("wss://x.io/socket?auth=abcFAKE99", "abcFAKE99"),
    ("https:\\/\\/x.io\\/p?token=abcFAKE99", "abcFAKE99"),
    ("(https://x.io/a(b)?token=abcFAKE99)", "abcFAKE99"),
    ("Authorization: Basic dXNlcjpwYXNzRkFLRQ==", "dXNlcjpwYXNzRkFLRQ=="),
    ("authorization=Bearer abcFAKE99zzz", "abcFAKE99zzz"),
    ("Authorization: ApiKey abcFAKE99zzz", "abcFAKE99zzz"),
    ("Authorization: abcFAKE99zzz", "abcFAKE99zzz"),
    ('"authorization":"Bearer abcFAKE99zzz"', "abcFAKE99zzz"),
    ("Authorization: Negotiate YIIFAKEabc123def", "YIIFAKEabc123def"),
    ('Authorization: Hawk id="abcFAKE", mac="zzFAKE99"', "zzFAKE99"),
    ('Authorization: OAuth oauth_token="abcFAKE9", oauth_signature="zzFAKE"', "zzFAKE"),
    ('Authorization: Signature keyId="x",signature="zzFAKE99/+=="', "zzFAKE99/+=="),
    ("Bearer abcdefghijFAKE.klm-nop", "abcdefghijFAKE.klm-nop"),
    ("bearer: abcFAKE99", "abcFAKE99"),
    ("Cookie: a=1; b=abcFAKE", "abcFAKE"),
    ("cookie: sid=abcFAKE", "abcFAKE"),
    ("Set-Cookie: auth=abcFAKE99; Secure; HttpOnly", "abcFAKE99"),
    ("{'Cookie': 'sessionid=abcFAKE; x=y'}", "abcFAKE"),
    ("JSESSIONID=abcFAKE99", "abcFAKE99"),
    ("session_id=abcFAKE99", "abcFAKE99"),
    (
        "HEROKU_API_KEY=12345678-FAKE-4abc-8def-1234567890ab",
        "12345678-FAKE-4abc-8def-1234567890ab",
    ),
    ("snyk token 12345678-0abc-4abc-8def-1234567890ab", "12345678-0abc-4abc-8def-1234567890ab"),
    ("datadog key 0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
    ("twitch secret abcfake0123456789abcdefghij123", "abcfake0123456789abcdefghij123"),
    ("auth failed: key A1b2C3d4E5f6G7h8I9j0K1l2M3n4 rejected", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4"),
    ("auth failed: key q7w8e9r0t1y2u3i4 rejected", "q7w8e9r0t1y2u3i4"),
    ("LINE_CHANNEL_TOKEN: abcFAKE/99+xyz=", "abcFAKE/99+xyz="),
    ("kakao app key=0a1b2c3d4e5f60718293a4b5c6d7e8f9", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    ("NAVER_CLIENT_SECRET=abcFAKE99x", "abcFAKE99x"),
    ("X-Naver-Client-Secret: abcFAKE99x", "abcFAKE99x"),
    ("mail alice.smith+tag@sub.example.co.uk now", "alice.smith+tag@sub.example.co.uk"),
    ("<alice@example.com>", "alice@example.com"),
    ("ALICE@EXAMPLE.COM", "ALICE@EXAMPLE.COM"),
    ("alice%40example.com", "alice%40example.com"),
    ("alice@192.0.2.7", "192.0.2.7"),
    ("alice@[192.0.2.7]", "192.0.2.7"),
    ("user alice@xn--bcher-kva.example", "alice@xn--"),
    ("jürgen@müller.de", "jürgen@müller.de"),
    ("o'brien@example.com", "brien@example.com"),
    ('"alice smith"@example.com', "alice smith"),
    ("alice [at] example [dot] com", "alice [at] example"),
    ("alice(at)example.com", "alice(at)example"),
    ("用户@例子.公司", "用户@例子"),
    ("email=alice@example.com&x=1", "alice@example.com"),
    ("mailto:alice@example.com", "alice@example.com"),
    ("git@github.com:acme/secret.git", "git@github.com"),
    ("/home/alice/x.py:10:5", "alice"),
    ("/Users/alice/Library/Application Support/Code/log.txt", "alice"),
    ("/Users/alice", "alice"),
    ("/home/alice/ is full", "alice"),
    ("C:\\Users\\Alice Smith\\Documents\\x.py", "Alice"),
    ("C:\\\\Users\\\\Alice\\\\x.py", "Alice"),
    ("C:/Users/Alice/x.py", "Alice"),
    ("\\\\?\\C:\\Users\\Alice\\x.py", "Alice"),
    ("file:///home/alice/x.py", "alice"),
    ("file:///C:/Users/Alice/x.py", "Alice"),
    ("~/clients/acme/x.py", "acme"),
    ("/mnt/c/Users/alice/x", "alice"),
    ("/root/secretproj/x.py", "secretproj"),
    ("../../home/alice/x.py", "alice"),
    ("Users/alice/app/x.py", "alice"),
    ("%2Fhome%2Falice%2Fx.py", "alice"),
    ("-Users-alice-projects-x", "alice"),
    ("cp /home/alice/a.txt /home/bob/b.txt", "bob"),
    ("'/home/alice/a' -> '/home/bob/b'", "alice"),
    ("open('/home/alice/my notes.txt')", "alice"),
    ("vscode-file://vscode-app/Applications/Acme/x.js", "Acme"),
    ("/opt/acme-corp/app/run.sh", "acme-corp"),
    ("/var/lib/docker/overlay2/abc/merged/app.py", "overlay2"),
    ("/srv/pip-req-build-abcd/setup.py", "pip-req"),
    ("include /Users/alice/My Stuff/a b/x.h", "alice"),
    ("sqlite:////home/alice/db.sqlite", "alice"),
    ("at 10.1.2.3", "10.1.2.3"),
    ("10.1.2.3:80", "10.1.2.3"),
    ("[2001:db8::1]:443", "2001:db8::1"),
    ("fe80::1%eth0", "fe80::1"),
    ("::ffff:10.0.0.5", "10.0.0.5"),
    ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "2001:0db8"),
    ("http://[2001:db8::5]:80/x", "2001:db8::5"),
    ("ip-10-0-0-5.ec2.internal", "10-0-0-5"),
    ("192.168.0.0/16", "192.168.0.0"),
    ("1.2.3.4, 5.6.7.8", "5.6.7.8"),
    ("mac 00:1a:2b:3c:4d:5e", "00:1a:2b:3c:4d:5e"),
    ("mac 00-1A-2B-3C-4D-5E", "00-1A-2B-3C-4D-5E"),
    ("001a.2b3c.4d5e up", "001a.2b3c.4d5e"),
    ("4111-1111-1111-1111", "4111-1111-1111-1111"),
    ("6011111111111117", "6011111111111117"),
    ("3782 822463 10005", "3782 822463 10005"),
    ("DE89 3704 0044 0532 0130 00", "DE89 3704"),
    ("GB29NWBK60161331926819", "GB29NWBK60161331926819"),
    ("(415) 555-0132", "555-0132"),
    ("415-555-0132", "415-555-0132"),
    ("+44 20 7946 0958", "7946 0958"),
    ("+1 (415) 555-0132", "555-0132"),
    ("phone: 415 555 0132", "415 555 0132"),
    ("+49-30-901820", "901820"),
    ("06 12 34 56 78", "12 34 56"),
    ("pass\u200bword=hunter2FAKE", "hunter2FAKE"),
    ("\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44=hunter2FAKE", "hunter2FAKE"),
    ("p\xadassword: hunter2FAKE", "hunter2FAKE"),
    ("pass\x1b[31mword=hunter2FAKE", "hunter2FAKE"),
    ("alice\u200b@example.com", "example.com"),
    ("AK¦IA\u200bABCDEFGHIJ234567", "ABCDEFGHIJ234567"),
    (
        (
            "---¦--BEGIN RSA PRIVATE KEY-----\\nMIIEFAKEabc123MIIEFAKEabc123MIIEFAKE"
            "\\nabcFAKE=\\n-----END RSA PRIVATE KEY-----"
        ),
        "MIIEFAKE",
    ),
    (
        (
            "---¦--BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUFA"
            "KE\nabcdefghijklmnopqrstuvwxyzFAKE0123\nQyZ="
        ),
        "abcdefghijklmnopqrstuvwxyzFAKE0123",
    ),
    (
        (
            "---¦--BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: X\n\nlQOYBFAKEabcdefghij"
            "klmnopqrstuv\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----"
        ),
        "lQOYBFAKE",
    ),
    ("key ey¦JhbGciOiJIUzI1NiJ9.ey¦JzdWIiOiJhbGljZSJ9.c2lnRkFLRXNpZ0ZBS0U", "ey¦JzdWIi"),
    (
        "Bearer%20ey¦JhbGciOiJIUzI1NiJ9.ey¦JzdWIiOiJhbGljZSJ9.c2lnRkFLRXNpZ0ZBS0U",
        "c2lnRkFLRXNpZ0ZBS0U",
    ),
    ("secret_key_base: 0a1bFAKE", "0a1bFAKE"),
    ("MASTER_KEY=0a1bFAKE", "0a1bFAKE"),
    ("stripe.api_key = 'abcFAKE'", "abcFAKE"),
    ("spring.datasource.password=abcFAKE", "abcFAKE"),
    ("aws_access_key_id = abcFAKE", "abcFAKE"),
    ("access_token=abcFAKE", "abcFAKE"),
    ("refreshToken: abcFAKE", "abcFAKE"),
    ("id_token:abcFAKE", "abcFAKE"),
    ("X-CSRF-Token: abcFAKE", "abcFAKE"),
    ("credentials=abcFAKE", "abcFAKE"),
    ("private_key=abcFAKE", "abcFAKE"),
    ("passphrase: correct-horse", "correct-horse"),
    ("encryption_key='abc FAKE'", "abc FAKE"),
    ("SLACK_SIGNING_SECRET=abcFAKE", "abcFAKE"),
    ("webhook_secret: abcFAKE", "abcFAKE"),
    ("mnemonic: 'apple banana FAKE'", "banana"),
    ("mnemonic: apple banana FAKE dog", "dog"),
    ("password=b'hunter2x'", "hunter2x"),
    ('password=SecretStr("hunterx")', "hunterx"),
    ("token=Token('abc123')", "abc123"),
    ('password: Some("hunterx")', "hunterx"),
    ('password: Ok(Some("hunterx")), n: 1', "hunterx"),
    ("password=Password(value='hunterx')", "hunterx"),
    ("password=SecretStr(\n  'hunterx'\n)", "hunterx"),
    ("password=SecretStr('hun)terx')", "terx"),
    ("password=SecretStr('hunterx", "hunterx"),
    ("password=new Secret<String>('hunterx')", "Secret<String>"),
    ('os.getenv("DB_PASSWORD","hunterx")', "hunterx"),
    ('password: Optional["hunterx"]', "hunterx"),
    ('{"name":"password","value":"hunterx"}', "hunterx"),
    ('{"Name":"DB_PASSWORD","Value":"hunterx"}', "hunterx"),
    ('{\\"name\\":\\"password\\",\\"value\\":\\"hunterx\\"}', "hunterx"),
    ('{"value":"hunterx","name":"password"}', "hunterx"),
    ("- name: DB_PASSWORD\n  value: hunterx", "hunterx"),
    ("<name>password</name><value>hunterx</value>", "hunterx"),
    ("INSERT INTO users (email, password) VALUES ('jane@x.org', 'hunterx')", "hunterx"),
    ("INSERT INTO users (email, password) VALUES ('jane@x.org', 'hunterx", "hunterx"),
    ("user[password]=hunterx", "hunterx"),
    ("password[0]=hunterx", "hunterx"),
    ('config["password"] = "hunterx"', "hunterx"),
    ("password\\u003dhunterx", "hunterx"),
    ("\\u0022password\\u0022:\\u0022hunterx\\u0022", "hunterx"),
    ("password&#61;hunterx", "hunterx"),
    ("&#34;password&#34;&#58;&#34;hunterx&#34;", "hunterx"),
    ("password -> hunterx", "hunterx"),
    ('set_password("hunterx")', "hunterx"),
    ('set_password(user, b"hunterx")', "hunterx"),
    ("| password | hunterx |", "hunterx"),
    ("password for bob is hunter2x", "hunter2x"),
    ("redis.AUTH hunterx", "hunterx"),
    ("dbpw=hunterx", "hunterx"),
    ("bindpw=hunterx", "hunterx"),
    ("db1:5432:app:bob:hunterx", "hunterx"),
    ("비밀번호: hunterx", "hunterx"),
    ("암호=hunterx", "hunterx"),
    ("密码\uff1ahunterx", "hunterx"),
    ("密碼=hunterx", "hunterx"),
    ("пароль: hunterx", "hunterx"),
    ("パスワード=hunterx", "hunterx"),
    ("contraseña: hunterx", "hunterx"),
    ("senha=hunterx", "hunterx"),
    ("Passwort: hunterx", "hunterx"),
    ("Kennwort=hunterx", "hunterx"),
    ("mot de passe : hunterx", "hunterx"),
]

HARMLESS = [
    "HTTP 500 Internal Server Error",
    "connection refused",
    "Invalid token",
    "Token expired",
    "The password is required",
    "password must be at least 8 characters",
    "password too short",
    "Password is incorrect",
    "missing api key",
    "API key not found",
    "api_key is required",
    "no credentials provided",
    "SyntaxError: Unexpected token 'export'",
    "SyntaxError: Unexpected token < in JSON at position 0",
    "Unexpected token: }",
    "unexpected token: identifier",
    "max_tokens: 4096",
    "tokens: 12345",
    "token_count=12",
    "input_tokens=5800 output_tokens=420",
    "secret santa list empty",
    "key 'orders' not found",
    "KeyError: 'api_key'",
    "Duplicate entry for key 'PRIMARY'",
    'duplicate key value violates unique constraint "users_pkey"',
    "Key (id)=(42) already exists.",
    "foreign key mismatch",
    "keyboard interrupt",
    "author: alice",
    "tokenizer: cl100k_base",
    "cookie banner dismissed",
    "cookies are disabled",
    "session expired",
    "session 12 of 30",
    "authentication failed",
    "Authorization header missing",
    "authorization denied",
    "401 Unauthorized",
    "basic auth is not supported",
    "Basic authentication required",
    "Bearer authentication required",
    "at Token.parse (token.js:7:19)",
    'File "secrets.py", line 12, in load',
    "at com.acme.auth.TokenFilter.doFilter(TokenFilter.java:31)",
    "   at Acme.Auth.Token.Validate(String token, String password) in Token.cs:line 42",
    "main.(*Auth).SetPassword(0xc000010000, 0x5)",
    "auth.py:42: DeprecationWarning: x",
    "password.go:12:5: undefined: foo",
    "std::vector<int>::at",
    "core::panicking::panic_fmt",
    "a::b::c::d",
    "dead::beef()",
    "std::f32::consts",
    "Ruby 3.2.2p53",
    "Chrome/120.0.6099.109 Safari/537.36",
    "version 1.2.3.4 installed",
    "v1.2.3.4",
    "numpy==1.26.4",
    "lodash@4.17.21",
    "react-dom@18.2.0",
    "actions/checkout@v4",
    "@types/node@20",
    "logo@2x.png",
    "sha256",
    "utf-8",
    "application/vnd.api+json; charset=utf-8",
    "multipart/form-data",
    "text/html",
    "1/2",
    "and/or",
    "src/app/main.py",
    "./src/main.rs:5:62",
    "../lib/x.js",
    "n/a",
    "GET /users/42/orders 404",
    "POST /api/v1/token 401",
    "/api/v1/users",
    "/health",
    "claude-3-5-sonnet-20241022",
    "gpt-4o-mini-2024-07-18",
    "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
    "meta-llama/Llama-3.1-8B-Instruct",
    "text-embedding-3-large",
    "gemini-1.5-pro-002",
    "x86_64-unknown-linux-gnu",
    "2026-03-01T10:22:33.123456+00:00",
    "2026/03/01 10:22:33",
    "Mon Mar  1 10:22:33 2026",
    "10:22:33.123",
    "1709251200",
    "1709251200123",
    "took 1234567 ms",
    "0x7ff7d7e8e962",
    "0xdeadbeef",
    "errno 2",
    "exit code 137",
    "SIGSEGV at 0x0000000000000040",
    "a93c7d2",
    "commit a93c7d2e",
    "E11000 duplicate key error collection: test.users index: email_1",
    "ECONNREFUSED localhost:5432",
    "connect ECONNREFUSED 127.0.0.1:5432",
    "listening on ::1",
    "bind to 0.0.0.0:80",
    "localhost:3000",
    "example.com",
    "https://example.com/docs/errors",
    "see https://docs.python.org/3/library/re.html",
    "s3://bucket/key.parquet",
    "na\u00efve caf\u00e9 \u2013 \u201cquotes\u201d \u2026",
    "日本語のエラー",
    "مرحبا بالعالم",
    "👨\u200d👩\u200d👧 family",
    "\ttabs\tand  double  spaces ",
    "line1",
    "line2",
    "",
    "line4",
    "user [email] not found",
    "token [token] rejected",
    "password=[secret]",
    "***",
    "100% of 50",
    "$5.00",
    "[1, 2, 3]",
    "{'a': 1, 'b': [2, 3]}",
    "Expected 3 arguments, but got 5",
    "Cannot find module './foo'",
    "Module not found: Error: Can't resolve 'left-pad'",
    'relation "users" does not exist',
    'column "password" does not exist',
    "Field 'password' doesn't have a default value",
    'null value in column "token" violates not-null constraint',
    'unknown field "secret" in struct',
    "'Settings' object has no attribute 'SECRET_KEY'",
    "name 'api_key' is not defined",
    "argument --token: expected one argument",
    "the following arguments are required: --password",
    "option --password requires a value",
    "undefined: password",
    "pin_map and pin 13",
    "pass 3 of 5",
    "two passes",
    "passed: 12, failed: 3",
    "test_password_reset PASSED",
    "compass and passport",
    "ThreadPoolExecutor-0_0",
    "pool-1-thread-1",
    "Order$HibernateProxy$kJ3xQ9bZ",
    "_ZN4core9panicking18panic_bounds_check17h0b3cb0f81eb6c032E",
    "ERR_HTTP2_STREAM_CANCEL",
    "E_INVALIDARG (0x80070057)",
    "TS2345: Argument of type",
    "ORA-00001",
    "CVE-2024-12345",
    "ISO-8859-1",
    "RFC 7519",
    "Error: 429 Too Many Requests, retry after 20s",
    "rate limit 200 requests per 60 seconds",
    "200 404 5000",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    "12345678901234567890",
    "+1 -1 +2",
    "@@ -10,6 +12,7 @@",
    "UTC+0200",
    "3.14159265358979",
    "1e-10",
    "5 GB of 10 GB",
    "row 4111111111111112",
    "x = y == z",
    "a => b",
    "foo: bar",
    "status: ok, code: 200",
    "signature mismatch",
    "invalid signature",
    "hash mismatch",
    "state: running",
    "auth: none",
    "key: value",
    "code=ENOENT syscall=open",
    "access: denied",
    "login failed for user",
    "private: true",
    "public key pinning",
    "license: MIT",
    "session: 12",
    "value: 42",
    "digest: sha256",
    "Traceback (most recent call last):",
    "During handling of the above exception, another exception occurred:",
    "aiohttp.client_exceptions.ClientConnectorError: Cannot connect to api.example.com:443 [None]",
    "requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://api.example.com/v1/items",
    "pydantic_core._pydantic_core.ValidationError: 1 validation error for User",
    "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    "ModuleNotFoundError: No module named 'tokenizers'",
    "sqlite3.OperationalError: no such table: sessions",
    "jwt.exceptions.ExpiredSignatureError: Signature has expired",
    "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
    "InvalidPasswordException: Password did not conform with policy: Password not long enough",
    "TokenExpiredError: token expired at 2026-03-01T10:22:33Z",
    "BadTokenException: Unable to add window -- token null is not valid",
    "CSRF token missing or incorrect.",
    "csrf verification failed",
    "secrets manager unavailable",
    "not authorized to perform: secretsmanager:GetSecretValue",
    'TokenNotFound("no such thing")',
    "mot de passe incorrect",
    "암호화: AES",
    "redis AUTH failed",
    "fn password(&self) -> String",
    "org:1234:project:abc",
    "reading 'password'",
    "cookie 'theme' set",
    "Set-Cookie header too large",
    "mcp.tool_call",
    "search_context took 12 ms",
]


def test_every_rule_has_an_example() -> None:
    assert {rule.name for rule in scrub_rules.RULES} == set(RULE_EXAMPLES) | {"vendor"}


@pytest.mark.parametrize("rule", scrub_rules.RULES, ids=lambda rule: rule.name)
def test_a_rule_does_what_its_example_says(rule: scrub_rules.Rule) -> None:
    for before, after in RULE_EXAMPLES.get(rule.name, ()):
        given_text = before.replace("¦", "")
        assert rule.apply(given_text) == after
        assert not rule.needs or any(need in given_text.lower() for need in rule.needs)


def test_every_vendor_has_an_example() -> None:
    assert set(scrub_rules.VENDORS) == set(VENDOR_FORMS)


@pytest.mark.parametrize(
    ("vendor", "form"),
    [(vendor, form) for vendor, forms in VENDOR_FORMS.items() for form in forms],
)
def test_a_vendors_token_is_known_by_its_form_alone(vendor: str, form: str) -> None:
    token = drawn(form)

    assert re.fullmatch(scrub_rules.VENDORS[vendor], token)
    assert text(f"call to {token} ended") == "call to [token] ended" or "[jwt]" in text(token)


@pytest.mark.slow
@pytest.mark.parametrize("vendor", list(VENDOR_FORMS))
@pytest.mark.parametrize("around", ["x={}", "'{}'", "a\n{}", "[{}],", "Bearer%20{}", "({})"])
def test_a_vendors_token_vanishes_wherever_it_stands(vendor: str, around: str) -> None:
    for form in VENDOR_FORMS[vendor]:
        token = drawn(form)
        scrubbed = text(around.format(token))

        assert not [
            token[at : at + 9] for at in range(6, len(token) - 8) if token[at : at + 9] in scrubbed
        ]


@pytest.mark.parametrize(("written", "secret"), SECRETS)
def test_a_secret_vanishes(written: str, secret: str) -> None:
    scrubbed = text(written.replace("¦", ""))

    assert secret.replace("¦", "") not in scrubbed
    assert text(scrubbed) == scrubbed


@pytest.mark.parametrize("written", HARMLESS)
def test_a_harmless_text_stays_as_it_is(written: str) -> None:
    assert text(written) == written


# The text as a whole ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("GET https://bob:pw@x.io:8443/a/b?c=d#e failed", "GET https://x.io:8443/a/b failed"),
        ("Authorization: Bearer abcFAKE99zz rejected", "Authorization: Bearer [secret] rejected"),
        ("Cookie: theme=dark; sid=abcFAKE", "Cookie: theme=[secret]; sid=[secret]"),
        ("in /home/alice/app/cart.py:10:5", "in cart.py:10:5"),
        ("password=[secret]hunter2", "password=[secret]"),
        ("mailto:alice@example.com?subject=x", "mailto:[email]?subject=x"),
        ("peer 10.1.2.3:80 and [2001:db8::1]:80", "peer [ip]:80 and [[ip]]:80"),
        ("app.js at http://x.io/app.js?v=3:10:5", "app.js at http://x.io/app.js:10:5"),
    ],
)
def test_only_the_secret_part_is_masked(written: str, expected: str) -> None:
    assert text(written) == expected


def test_masks_are_words_the_hash_reads_as_hidden() -> None:
    raw = "user alice@example.com from 10.1.2.3 has card 4111111111111111"

    assert (
        explain("", message=text(raw)).hash
        == explain("", message="user [email] from [ip] has card [card]").hash
    )
    for mask in set(re.findall(r"\[[\w ]+\]", " ".join(map(text, (s for s, _ in SECRETS))))):
        assert text(mask) == mask


def test_a_text_is_cut_at_its_limit_between_words() -> None:
    assert text("word " * 200) == "word " * 100
    assert len(text("x" * 10_000)) == 500
    assert text("Cart.total failed badly", limit=15) == "Cart.total "
    assert text("abc", limit=0) == ""


def test_a_secret_across_the_limit_leaves_no_half() -> None:
    token = drawn("ghp_<a36>")
    for room in range(440, 520):
        assert token[:12] not in text("y" * 10 + " " * room + token)
    for room in range(scrub.INPUT_CHARS_MAX - 60, scrub.INPUT_CHARS_MAX + 5, 7):
        assert token[:12] not in text(" " * room + token, limit=20_000)


def test_the_text_can_always_be_stored() -> None:
    assert text("a\ud800b") == "a\ufffdb"
    assert text("\ud83d\ude00") == "\U0001f600"
    assert text("a\0b") == "ab"
    assert text(b"caf\xc3\xa9 \xff") == "caf\xe9 \ufffd"
    assert text(ValueError("no such user: alice@example.com")) == "no such user: [email]"


def test_invisible_characters_stay_where_they_hide_nothing() -> None:
    assert (
        text("\u05e9\u05dc\u05d5\u05dd\u200f, caf\xe9\xad s")
        == "\u05e9\u05dc\u05d5\u05dd\u200f, caf\xe9\xad s"
    )


ANYTHING = (
    st.text()
    | st.lists(
        st.sampled_from([*"ab1@./:=\\-_ \n\"'[]{}%&?;,+", "key", "token", "password", "4111"])
    ).map("".join)
    | st.lists(
        st.sampled_from([written.replace("¦", "") for written, _ in SECRETS] + HARMLESS),
        max_size=4,
    ).map(" ".join)
)


@settings(max_examples=examples(400), deadline=None)
@given(ANYTHING)
def test_scrubbing_twice_equals_scrubbing_once(written: str) -> None:
    for once in (text(written), text(written, limit=20)):
        assert text(once) == once
        assert once.encode("utf-8").decode("utf-8") == once
    assert redact(redact(written)) == redact(written)
    assert stack(stack(written)) == stack(written)


@pytest.mark.parametrize("token", HOSTILE_TOKENS)
def test_a_megabyte_of_one_token_ends_soon(token: str) -> None:
    hostile = token * (1_000_000 // len(token))
    started = time.thread_time()

    text(hostile)
    stack(hostile)

    assert time.thread_time() - started < 2.0


# Keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "Password",
        "PASSWD",
        "user_password",
        "db_pass",
        "dbPass",
        "mysql_pwd",
        "PGPASSWORD",
        "passphrase",
        "secret",
        "clientSecret",
        "client-secret",
        "api_key",
        "apiKey",
        "API-KEY",
        "X-Api-Key",
        "apikey",
        "stripe_api_key",
        "secretKey",
        "aws_secret_access_key",
        "AWS_ACCESS_KEY_ID",
        "private_key",
        "token",
        "access_token",
        "accessToken",
        "authToken",
        "refresh-token",
        "id_token",
        "XSRF-TOKEN",
        "csrf_token",
        "csrftoken",
        "x-amz-security-token",
        "bearer",
        "jwt",
        "Authorization",
        "Proxy-Authorization",
        "cookie",
        "set-cookie",
        "sessionid",
        "session_id",
        "sessionId",
        "PHPSESSID",
        "JSESSIONID",
        "sid",
        "otp",
        "totp_code",
        "pin",
        "card_pin",
        "cvc",
        "cvv",
        "ssn",
        "iban",
        "credentials",
        "userCredential",
        "signing_key",
        "encryptionKey",
        "AccountKey",
        "SharedAccessKey",
        "license_key",
        "webhook_secret",
        "my_password_super_secure",
        "secretKeyBase",
    ],
)
def test_a_key_names_a_secret_in_any_spelling(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "tokens",
        "tokens_input",
        "input_tokens",
        "token_count",
        "max_tokens",
        "maxTokens",
        "tokenizer",
        "stop_token",
        "pad_token",
        "mask_token_id",
        "token_type",
        "tokens_saved_vs_naive",
        "monkey",
        "author",
        "authority",
        "keyboard",
        "key",
        "primary_key",
        "foreign_key",
        "key_count",
        "session_count",
        "has_session_summary",
        "secretary",
        "passwordless",
        "password_length",
        "password_policy",
        "passport",
        "compass",
        "pass_count",
        "two_pass_scan",
        "spinner",
        "pin_map",
        "cookie_consent",
        "auth_method",
        "token.py",
        "secrets.json",
        "model",
        "tool_name",
    ],
)
def test_a_harmless_key_names_no_secret(key: str) -> None:
    assert not is_secret_key(key)


# Any value ----------------------------------------------------------------------------------------


def test_a_value_keeps_its_shape() -> None:
    given_value = {
        "a": None, "b": True, "c": 3, "d": 1.5, "e": [], "f": {}, "g": "", "h": (1, "x"),
    }  # fmt: skip

    assert redact(given_value) == given_value
    assert redact({1: {2.5: "x"}}) == {"1": {"2.5": "x"}}


def test_under_a_secret_key_all_but_flags_and_nothing_is_hidden() -> None:
    assert redact(
        {"password": "x", "pin": 4821, "otp": 1.5, "secret": True, "token": None, "cookie": ""}
    ) == {
        "password": "[secret]", "pin": "[secret]", "otp": "[secret]", "secret": True,
        "token": None, "cookie": "",
    }  # fmt: skip
    assert redact({"cookies": {"theme": "dark", "n": [1, True]}}) == {
        "cookies": {"theme": "[secret]", "n": ["[secret]", True]}
    }


def test_pairs_and_arguments_hide_the_value_after_a_name() -> None:
    assert redact([["Authorization", "Bearer x"], ("x-api-key", "y"), ["Host", "z.io"]]) == [
        ["Authorization", "[secret]"], ("x-api-key", "[secret]"), ["Host", "z.io"],
    ]  # fmt: skip
    assert redact([{"Name": "DB_PASSWORD", "Value": "x"}, {"value": [1], "key": "pin"}]) == [
        {"Name": "DB_PASSWORD", "Value": "[secret]"}, {"value": ["[secret]"], "key": "pin"},
    ]  # fmt: skip
    assert redact({"name": "LOG_LEVEL", "value": "info"}) == {"name": "LOG_LEVEL", "value": "info"}
    assert redact(["prog", "--token", "abc", "--max-tokens", "5", "--password=x"]) == [
        "prog", "--token", "[secret]", "--max-tokens", "5", "--password=[secret]",
    ]  # fmt: skip


def test_keys_are_scrubbed_and_stay_apart() -> None:
    assert redact({"alice@example.com": 1, "bob@example.com": 2}) == {"[email]": 1, "[email] 2": 2}


def test_numbers_json_cannot_say_become_nothing_and_card_numbers_are_hidden() -> None:
    assert redact([math.nan, math.inf, 1e308]) == [None, None, 1e308]
    assert redact([4111111111111111, 4111111111111112, 10**60]) == [
        "[card]", 4111111111111112, "[too much]",
    ]  # fmt: skip


def test_other_objects_become_text() -> None:
    class Colour(Enum):
        RED = "red"

    assert redact([Path("/home/alice/x.py"), Colour.RED, b"a@b.io", {"only"}]) == [
        "x.py", "red", "[email]", ["only"],
    ]  # fmt: skip


def test_depth_and_size_are_bounded() -> None:
    deep: object = "end"
    for _ in range(10_000):
        deep = [deep]
    wide = list(range(100_000))
    long = ["word " * 1_000] * 100

    for value in (deep, wide, long, {str(n): n for n in wide}):
        once = redact(value)
        assert len(json.dumps(once)) < 200_000
        assert redact(once) == once
    assert redact(wide)[-1] == "[too much]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANYTHING,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANYTHING, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=examples(150), deadline=None)
@given(JSON)
def test_redacting_any_value_twice_equals_once_and_json_can_say_it(value: object) -> None:
    once = redact(value)

    assert redact(once) == once
    json.dumps(once, allow_nan=False).encode("utf-8")


# Metadata -----------------------------------------------------------------------------------------


def test_only_allowed_keys_of_the_right_type_stay() -> None:
    assert properties(
        {
            "tool_name": "search_context", "tokens_input": 5800, "accepted": True,
            "code": "x = 1", "file_name": "x.py", "prompt": "do it", 7: "seven",
        }
    ) == {"tool_name": "search_context", "tokens_input": 5800, "accepted": True}  # fmt: skip
    assert (
        properties(
            {"tool_name": 5, "tokens_input": "5800", "accepted": 1, "credits": True, "ide": None}
        )
        == {}
    )


def test_numbers_keep_their_limit() -> None:
    allow = {"n": MetadataKey("number", 10)}

    assert [properties({"n": n}, allow) for n in (10, -10, 0.5)] == [
        {"n": 10},
        {"n": -10},
        {"n": 0.5},
    ]
    assert [properties({"n": n}, allow) for n in (11, math.inf, math.nan, 10**400)] == [{}] * 4


def test_allowed_text_is_scrubbed_and_cut() -> None:
    assert properties({"action": "mail alice@example.com"}) == {"action": "mail [email]"}
    assert properties({"action": "word " * 100}) == {"action": "word " * 40}
    assert properties({"version": "1.2.3.4", "action": "at 10.2.3.4"}) == {
        "version": "1.2.3.4", "action": "at [ip]",
    }  # fmt: skip


def test_a_denied_text_leaves_its_length_where_that_is_allowed() -> None:
    assert properties({"query": "where is alice"}) == {"query_length": 14}
    assert properties({"query_length": 3, "query": "where is alice"}) == {"query_length": 3}
    assert properties({"query": 42, "prompt": "x"}) == {}
    assert properties({"prompt": "x" * 9}, {"prompt_length": MetadataKey("number", 100)}) == {
        "prompt_length": 9
    }


def test_enums_and_subclasses_become_plain_values() -> None:
    class Tool(StrEnum):
        SEARCH = "search"

    class Old(Enum):
        ACTION = "open"

    class Count(int):
        pass

    kept = properties({"tool_name": Tool.SEARCH, "action": Old.ACTION, "top_k": Count(5)})

    assert kept == {"tool_name": "search", "action": "open", "top_k": 5}
    assert {type(value) for value in kept.values()} == {str, int}


class Raising(dict):
    """A mapping of the host's own that fails when read."""

    def items(self):
        """Fail."""
        raise RuntimeError("not now")


@pytest.mark.parametrize("metadata", [None, 5, "x", [("tool_name", "x")], Raising(tool_name="x")])
def test_metadata_that_is_none_or_cannot_be_read_is_empty(metadata: object) -> None:
    assert properties(metadata) == {}


@pytest.mark.parametrize("allow", [{"tool_name"}, None, ["tool_name"], 5])
def test_what_is_no_mapping_allows_nothing(allow: object) -> None:
    assert properties({"tool_name": "x"}, allow) == {}


@given(st.dictionaries(st.sampled_from(sorted(METADATA)) | st.text(), JSON, max_size=6))
@settings(max_examples=examples(100), deadline=None)
def test_metadata_of_any_kind_keeps_the_types_of_its_keys(metadata: dict) -> None:
    kinds = {"text": str, "number": int | float, "flag": bool}

    for key, value in properties(metadata).items():
        assert isinstance(value, kinds[METADATA[key].kind])
        assert not isinstance(value, str) or len(value) <= METADATA[key].limit


# Ids ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "sess_xyz789", "proj_001", "branch_main", "a", "0190f5a2-7b3c-7def-8abc-0123456789ab",
        "5f4dcc3b5aa765d61d8327deb882cf99", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "0" * 64,
        "V1StGXR8_Z5jdHi6B-myT", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "a:b.c-d", "x" * 128,
    ],
)  # fmt: skip
def test_an_id_is_plain(value: str) -> None:
    assert is_plain_id(value)


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "Acme Redesign", "/home/a/x", "C:\\x", "a@b.io", "x" * 129, "caf\xe9", "a\nb",
        "10.1.2.3", "4111111111111111", drawn("ghp_<a36>"), drawn("sk-proj-<b60>"),
        "ey" + drawn("JhbGciOiJIUzI1NiJ9.<b40>.<b40>"), drawn("AKIA<u16>"), None, 7,
        "db1:5432:app:bob:hunter", "db1:5432:bob:hunter", "db1.acme.io:7000:bob:hunter",
    ],
)  # fmt: skip
def test_anything_else_is_no_plain_id(value: object) -> None:
    assert not is_plain_id(value)


# Stack traces -------------------------------------------------------------------------------------

PAIRS = json.loads((CASES / "grouping_pairs.json").read_text(encoding="utf-8"))["pairs"]
TRACES = [
    pytest.param(pair[side]["stack"], id=pair["id"] + side) for pair in PAIRS for side in "ab"
]


@pytest.mark.parametrize("raw", TRACES)
def test_a_scrubbed_trace_keeps_its_hash_and_names_no_one(raw: str) -> None:
    scrubbed = stack(raw)

    assert stack_hash(scrubbed) == stack_hash(raw)
    assert len(scrubbed) <= scrub.STACK_CHARS_MAX
    assert "alice" not in scrubbed
    assert stack(scrubbed) == scrubbed


def test_the_code_python_prints_under_a_frame_goes() -> None:
    raw = """Traceback (most recent call last):
  File "/home/alice/app/login.py", line 3, in login
    check(user, password="hunter2-FAKE",
          ~~~~~~^^^^
    )
  File "/home/alice/.venv/lib/python3.11/site-packages/jinja2/filters.py", line 9, in do
    secret = "x"
  [Previous line repeated 975 more times]
ValueError: no user alice@example.com"""

    assert (
        stack(raw)
        == """Traceback (most recent call last):
  File "login.py", line 3, in login
  File "site-packages/jinja2/filters.py", line 9, in do
  [Previous line repeated 975 more times]
ValueError: no user [email]"""
    )


def test_the_code_node_prints_above_an_error_goes() -> None:
    raw = """/home/alice/app/cart.js:7
    throw new Error("key " + "abc")
    ^

Error: key missing
    at total (/home/alice/app/cart.js:7:11)
    at Module.load (node:internal/modules/cjs/loader:1266:32)"""

    assert (
        stack(raw)
        == """cart.js:7

Error: key missing
    at total (cart.js:7:11)
    at Module.load (node:internal/modules/cjs/loader:1266:32)"""
    )


def python_trace(frames: int, errors: int = 1) -> str:
    """Return a chain of errors, each with its own functions, the innermost last."""
    return "\n\nDuring handling of the above exception, another exception occurred:\n\n".join(
        "Traceback (most recent call last):\n"
        + "".join(
            f'  File "/home/alice/shop/part_{letter}.py", line {n}, in step_{letter}_{n:04}\n'
            f"    step({n})\n"
            for n in range(frames)
        )
        + f"{letter.upper()}Error: {letter} is broken"
        for letter in string.ascii_lowercase[:errors]
    )


@pytest.mark.parametrize(("frames", "errors"), [(60, 1), (800, 1), (60, 5), (300, 3)])
def test_a_long_trace_fits_and_keeps_its_hash(frames: int, errors: int) -> None:
    raw = python_trace(frames, errors)
    scrubbed = stack(raw)

    assert len(scrubbed) <= scrub.STACK_CHARS_MAX < len(raw)
    assert stack_hash(scrubbed) == stack_hash(raw)
    assert re.search(r"^  \.\.\. \d+ frames left out \.\.\.$", scrubbed, re.MULTILINE)
    assert f"in step_a_{frames - 1:04}" in scrubbed


def test_a_trace_longer_than_the_hash_reads_still_fits() -> None:
    """The hash joins both halves of such a trace in mid-line, so the law ends there."""
    raw = python_trace(4_000)

    assert len(raw) > STACK_CHARS_READ
    assert len(stack(raw)) <= scrub.STACK_CHARS_MAX
    assert stack(raw).endswith("in step_a_3999\nAError: a is broken")


@pytest.mark.parametrize("shift", range(0, 130, 3))
def test_a_cut_in_the_middle_of_a_trace_leaves_no_source_code(shift: int) -> None:
    """The middle of a long trace goes; so does a source line whose frame went with it."""
    cycle = "".join(
        f'  File "/home/alice/app/cart.py", line {n}, in {name}\n'
        f"    def {name}(n): return secret_{n}\n"
        for n, name in ((1, "f"), (2, "g"), (3, "h"))
    )
    raw = f"Traceback (most recent call last):\n{cycle * 500}ValueError: {'x' * shift}"
    scrubbed = stack(raw)

    assert len(raw) > STACK_CHARS_READ
    assert "return" not in scrubbed
    assert re.findall(r"(?m)^\d*, in \w$|^\w+\.py", scrubbed) == []
    assert scrubbed.startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize("more", ["", '  File "b.py", line 1, in g\n    last()\n'])
def test_source_code_goes_when_its_frame_is_in_the_cut(more: str) -> None:
    frame = '  File "a.py", line 1, in f\n'
    end = "    secret_call()\n" + more + "E: x\n"
    end += "y" * (STACK_CHARS_READ // 2 - len(end) - 12)
    raw = (
        "Traceback (most recent call last):\n"
        + frame
        + "E: x\n"
        + ("word " * 20 + "\n") * 600
        + frame
        + end
    )

    assert len(raw) > STACK_CHARS_READ
    assert "secret_call" not in stack(raw)
    assert "E: x" in stack(raw)


def test_source_code_goes_where_the_lines_are_too_many() -> None:
    raw = "Traceback (most recent call last):\nE: x\n" + "\n" * 2_000
    raw += '  File "a.py", line 1, in f\n    first()\n    second()\n' * 800 + "E: x"

    assert len(raw) < STACK_CHARS_READ
    assert "second" not in stack(raw)
    assert "first" not in stack(raw)


def test_a_long_text_of_one_line_is_still_cut() -> None:
    assert len(stack("x" * 200_000)) <= scrub.STACK_CHARS_MAX
    assert stack("Traceback (most recent call last):\n" + "x" * 200_000).startswith("Traceback")


def test_a_megabyte_of_traces_ends_soon() -> None:
    trace = python_trace(10) + " with request {}\n\n"
    raw = "".join(trace.format(n) for n in range(1_000_000 // len(trace)))
    started = time.thread_time()

    assert len(stack(raw)) <= scrub.STACK_CHARS_MAX
    assert time.thread_time() - started < 1.0  # 0.1 s on a quiet 2 GHz core


LONG = {
    "javascript": (
        "TypeError: x is bad\n",
        "    at Shop.step{n} (/home/alice/shop/cart{n}.js:{n}:7)\n",
    ),
    "java": (
        "java.lang.IllegalStateException: x is bad\n",
        "\tat com.acme.shop.Cart{n}.total(Cart{n}.java:{n})\n",
    ),
    "go": (
        "panic: x is bad\n\ngoroutine 1 [running]:\n",
        "acme/shop.(*Cart).step{n}(0x1, 0x2)\n\t/home/alice/shop/cart.go:{n} +0x31\n",
    ),
    "rust": (
        "thread 'main' panicked at src/main.rs:5:62:\nx is bad\nstack backtrace:\n",
        "   {n}: shop::cart::Cart::step{n}\n             at /home/alice/shop/src/cart.rs:{n}:9\n",
    ),
    "csharp": (
        "System.InvalidOperationException: x is bad\n",
        "   at Acme.Shop.Cart.Step{n}(String id) in /home/alice/shop/Cart.cs:line {n}\n",
    ),
}


@pytest.mark.parametrize("language", LONG)
def test_a_long_trace_of_any_language_keeps_its_innermost_frames(language: str) -> None:
    header, frame = LONG[language]
    names = [f"{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}{n}" for n in range(300)]
    raw = header + "".join(
        frame.replace("{n}", names[n], 1).replace("{n}", str(n + 1))
        if language in {"go", "csharp"}
        else frame.replace("{n}", str(n + 1))
        for n in range(300)
    )
    scrubbed = stack(raw)

    assert explain(raw).language == language
    assert len(scrubbed) <= scrub.STACK_CHARS_MAX
    assert stack_hash(scrubbed) == stack_hash(raw)
    assert "frames left out" in scrubbed
    assert "alice" not in scrubbed


def test_mutual_recursion_keeps_its_cycle() -> None:
    raw = (
        "Traceback (most recent call last):\n" + '  File "/home/alice/a.py", line 5, in is_even\n'
        '  File "/home/alice/a.py", line 8, in is_odd\n'
        * 480
        + "RecursionError: maximum recursion depth exceeded"
    )

    assert stack_hash(stack(raw)) == stack_hash(raw)


def test_a_secret_is_no_part_of_the_hash() -> None:
    """A secret of letters only looks like any word of a message, to the hash as to a reader."""
    raw = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nE: password=hunter'

    assert stack(raw).endswith("E: password=[secret]")
    assert stack_hash(stack(raw)) == stack_hash(raw)


def test_more_exceptions_than_fit_keep_both_ends() -> None:
    scrubbed = stack(python_trace(40, 26))

    assert len(scrubbed) <= scrub.STACK_CHARS_MAX
    assert "AError" in scrubbed
    assert scrubbed.endswith("ZError: z is broken")


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), st.integers(1, 9_999)),
        min_size=1,
        max_size=80,
    ),
    st.sampled_from(["/home/alice/app/", "C:\\Users\\Alice\\app\\", "/usr/lib/python3.11/", ""]),
    st.from_regex(r"[a-z]{1,8}( [a-z]{1,8}){0,3}", fullmatch=True),
)
def test_any_python_trace_keeps_its_hash(calls: list, folder: str, message: str) -> None:
    raw = "Traceback (most recent call last):\n" + "".join(
        f'  File "{folder}{name}.py", line {line}, in {name}\n    {name}()\n'
        for name, line in calls
    )
    raw += f"ValueError: {message}"

    assert stack_hash(stack(raw)) == stack_hash(raw)


# What it costs ------------------------------------------------------------------------------------


def test_importing_it_compiles_no_pattern() -> None:
    code = (
        "import ingest.vocabulary, ingest.stack_hash, re, sys\n"
        "for name in ('ingest.scrub', 'ingest'): sys.modules.pop(name, None)\n"
        "re.compile = lambda *_: sys.exit('compiled')\n"
        "import importlib.util as u\n"
        "s = u.spec_from_file_location('scrub', 'ingest/scrub.py')\n"
        "m = u.module_from_spec(s); sys.modules['scrub'] = m; s.loader.exec_module(m)\n"
    )
    root = Path(__file__).parents[1]

    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
