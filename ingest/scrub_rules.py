"""The scrubber's rules: what a secret looks like, in order, each from text to text.

A vendor's token is told by its prefix, other secrets by the key, header, URL or path they stand in,
personal data by its shape. Every rule and every vendor has an example in the tests.

Every pattern takes time in proportion to the text, whatever the text, and is compiled on first use.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "NAME_KEYS",
    "RULES",
    "VALUE_KEYS",
    "VENDORS",
    "Rule",
    "is_secret_key",
    "names_itself",
    "rx",
    "without_cards",
]

KEY_CHARS_MAX: Final = 128
KEYS_CACHED_MAX: Final = 4_096

SECRET: Final = "[secret]"  # noqa: S105 - the mask, not a secret
_OWN_MASK: Final = r"\[[a-z]+\]"


@cache
def rx(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Compile on first use."""
    return re.compile(pattern, flags)


class Rule(NamedTuple):
    """One step from text to text.

    `needs`: lower-case strings, one of which must be in the text for the rule to have work.
    """

    name: str
    apply: Callable[[str], str]
    needs: tuple[str, ...] = ()


def _replacing(pattern: str, mask: str) -> Callable[[str], str]:
    return lambda given: rx(pattern).sub(mask, given)


def _asking(
    pattern: str, decide: Callable[[re.Match[str]], str], flags: int = 0
) -> Callable[[str], str]:
    return lambda given: rx(pattern, flags).sub(decide, given)


# Private keys -------------------------------------------------------------------------------------

_KEY_BODY = (
    r"(?:\\{1,4}[nr]|[\s\"'+,]|(?:Proc-Type|DEK-Info|Version|Comment|Charset|Hash"
    r"|Subject):[^\n\\]{0,200}"
    r"|(?<![A-Za-z0-9+/=])[A-Za-z0-9+/=]{16,200}(?![A-Za-z0-9+/=])"
    r"|(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{1,76}={1,2}(?![A-Za-z0-9+/=]))*+"
)
_PEM = (
    r"-{2,5} ?BEGIN[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)? ?-{2,5}"
    r"(?:(?:(?!-{2,5} ?BEGIN)[\s\S]){0,8192}?-{2,5} ?END[ A-Z0-9_-]{0,60}KEY(?: BLOCK)? ?-{2,5}"
    rf"|{_KEY_BODY})"
)
_PUTTY = (
    r"PuTTY-User-Key-File-\d:[\s\S]{0,8192}?Private-MAC: ?[0-9a-fA-F]{8,}"
    r"|PuTTY-User-Key-File-\d:[^\n]*(?:\s*(?:[A-Z][\w-]{1,30}: ?[^\n]*|[A-Za-z0-9+/=]{16,}))*+"
    r"|Private-Lines: ?\d+(?:\s*[A-Za-z0-9+/=]{16,})*+(?:\s*[A-Za-z0-9+/]{1,70}={1,2})?"
)
_PEM_TAIL = (
    r"(?:[A-Za-z0-9+/]{40,100}\s{1,8}){1,100}+(?:[A-Za-z0-9+/=]{1,100}\s{1,8})?"
    r"-{4,5} ?END[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
)

# Tokens that say what they are --------------------------------------------------------------------

_JWT = (
    r"(?<![A-Za-z])eyJ[A-Za-z0-9_=+/-]{12,}+"
    r"(?:\.(?:\s{0,4}\n\s{0,8})?[A-Za-z0-9_=+/-]*+){0,4}"
    r"(?:\n\s{0,8}[A-Za-z0-9_.=+/-]{24,}+){0,40}"
)
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f][0-9A-Fa-f]))"

# Public formats of the vendors' own documentation and of the rules of secret scanners. The body is
# wider than the vendor's: a truncated or wrapped token is one as well.
VENDORS: Final[dict[str, str]] = {
    "1password": r"ops_eyJ[\w+/=-]{20,}|A3-[A-Z0-9]{6}(?:-[A-Z0-9]{5,11}){3,6}",
    "adobe": r"p8e-[A-Za-z0-9]{24,}",
    "age": r"AGE-SECRET-KEY-1[A-Z0-9]{20,}|AGE-PLUGIN-[A-Z0-9-]{20,}",
    "airtable": (
        r"pat[A-Za-z0-9]{14}\.[0-9a-f]{20,}"
        r"|key(?=[A-Za-z]{0,14}\d)[A-Za-z0-9]{14}(?![A-Za-z0-9])"
    ),
    "aiven": r"AVNS_[\w-]{10,}|aivenv1[\w+/=-]{20,}",
    "alibaba": r"LTAI[A-Za-z0-9]{12,}",
    "anthropic": r"sk-ant-[\w-]{12,}",
    "artifactory": r"AKCp[A-Za-z0-9]{20,}|cmVmdGtu[\w+/=-]{20,}",
    "asana": r"[012]/\d{12,}(?:/\d{12,})?:[0-9a-f]{20,}",
    "atlassian": (
        r"AT(?:ATT|CTT)3[\w=-]{20,}|ATBB[A-Za-z0-9]{20,}|ATTA[0-9a-f]{20,}|BBDC-[\w+/@-]{20,}"
    ),
    "authress": (
        r"(?:sc|ext|scauth|authress)_[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-][\w.+/=-]{20,}"
    ),
    "aws_key_id": r"(?:A3T[A-Z0-9]|A(?:KIA|SIA|BIA|CCA|GPA|IDA|IPA|NPA|NVA|ROA))[A-Z0-9]{12,}",
    "aws_bedrock": r"(?:ABSK|bedrock-api-key-)[\w+/=-]{20,}",
    "azure_client_secret": r"[\w.~-]{3}[78]Q~[\w.~-]{20,}",
    "azure_devops": r"[A-Za-z0-9]{52}AZDO[A-Za-z0-9]{4,}|[a-z0-9]{52}(?![A-Za-z0-9])",
    "azure_storage": r"[A-Za-z0-9+/]{76}(?:\+ASt|ACDb)[A-Za-z0-9+/=]*",
    "braintree": r"access_token\$(?:production|sandbox)\$[0-9a-z$]{16,}",
    "brevo": r"xkeysib-[\w-]{20,}|xsmtpsib-[\w-]{20,}",
    "buildkite": r"bk(?:ua|ct|at|agent|aj)_[\w-]{16,}",
    "cerebras": r"csk-[\w-]{20,}",
    "circleci": r"CCI(?:PAT|PRJ)_[\w-]{16,}",
    "clickhouse": r"4b1d[A-Za-z0-9]{30,}",
    "clickup": r"pk_\d{4,}_[A-Z0-9]{20,}",
    "clojars": r"CLOJARS_[A-Za-z0-9]{20,}",
    "cloudflare": r"v1\.0-[0-9a-f]{20,}-[0-9a-f]{20,}|cf(?:ut|at|k)_[\w-]{20,}",
    "cockroach": r"CCDB1_[\w-]{16,}",
    "contentful": r"CF(?:PAT|OAT)-[\w-]{20,}",
    "crates": r"cio(?=[A-Za-z]{0,32}\d)[A-Za-z0-9]{32}(?![A-Za-z0-9])",
    "databricks": r"(?:dapi|dkea|dose)[0-9a-f]{20,}(?:-\d)?",
    "datadog": r"dd(?:app|pat|api)_[\w-]{20,}|pub[0-9a-f]{32}",
    "defined": r"dnkey-[\w=-]{20,}",
    "deno": r"ddp_[\w-]{20,}|jsrp_[\w-]{20,}",
    "digitalocean": r"do[opr]_v1_[0-9a-f]{20,}",
    "discord_bot": (
        r"(?=[A-Za-z_-]{0,24}\d)(?=[a-z0-9_-]{0,24}[A-Z])[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}"
        r"|mfa\.[\w-]{40,}"
    ),
    "dockerhub": r"dckr_[po]at_[\w-]{16,}",
    "doppler": r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{16,}",
    "dropbox": r"sl\.(?:u\.)?[\w=-]{40,}",
    "duffel": r"duffel_(?:test|live)_[\w=-]{16,}",
    "dynatrace": r"dt0[a-z]\d\d\.[A-Za-z0-9]{8,}(?:\.[A-Za-z0-9]{16,})?",
    "e2b": r"e2b_[0-9a-f]{20,}",
    "easypost": r"EZ[AT]K[A-Za-z0-9]{20,}",
    "elastic": r"ess[uc]_[\w=-]{20,}",
    "facebook": r"EAA[A-Za-z0-9]{40,}[\w-]*+|\d{15,16}\|[\w-]{20,}",
    "fastly": r"fastly[_-][\w-]{24,}",
    "figma": r"fig[dour][a-z]?_[\w-]{16,}",
    "firebase": r"AAAA[\w-]{7}:[\w-]{40,}|[\w-]{20,24}:APA91b[\w-]{40,}",
    "flutterwave": r"FLW(?:SEC|PUB)K(?:_TEST)?-[\w-]{12,}",
    "flyio": r"fo1_[\w-]{20,}|fm[12][ar]?_[\w+/=-]{20,}(?:,fm[12][ar]?_[\w+/=-]{20,})*",
    "frameio": r"fio-u-[\w=-]{20,}",
    "gcp_api_key": r"AIza[\w-]{20,}",
    "gcp_oauth": r"ya29\.[\w.-]{16,}|GOCSPX-[\w-]{16,}|1//0[\w-]{20,}|4/0A[\w-]{20,}",
    "github": r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|v1\.[0-9a-f]{40}",
    "gitlab": (
        r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|oas|soat|ffct|wt)-[\w.-]{16,}|GR1348941[\w-]{12,}"
    ),
    "grafana": r"glsa_[A-Za-z0-9]{16,}(?:_[0-9A-Fa-f]{8})?|glc_[\w+/=-]{20,}",
    "groq": r"gsk_[A-Za-z0-9]{16,}",
    "harness": r"(?:pat|sat)\.[\w-]{16,}\.[0-9a-f]{16,}\.[A-Za-z0-9]{12,}",
    "heroku": r"HRKU-[\w-]{16,}",
    "hubspot": r"pat-(?:na|eu|ap)\d-[0-9a-f-]{20,}",
    "huggingface": r"hf_[A-Za-z0-9]{16,}|api_org_[A-Za-z0-9]{16,}",
    "infracost": r"ico-[A-Za-z0-9]{20,}",
    "intercom": r"dG9rO[A-Za-z0-9+/=]{20,}",
    "langsmith": r"lsv2_(?:pt|sk)_[\w-]{16,}|ls__[\w-]{16,}",
    "launchdarkly": r"(?:sdk|mob|api)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "linear": r"lin_(?:api|oauth|wh)_[\w-]{16,}",
    "linkedin": r"AQ[A-Z][\w-]{60,}|WPL_AP1\.[\w.=+/-]{8,}",
    "lob": r"(?:live|test)_(?:pub_)?[0-9a-f]{24,}",
    "mailchimp": r"[0-9a-f]{32}-us\d{1,2}",
    "mailgun": r"(?:pub)?key-[0-9a-z]{20,}|[0-9a-h]{32}-[0-9a-h]{8}-[0-9a-h]{8}",
    "mapbox": r"[pst]k\.eyJ[\w.-]{20,}",
    "maxmind": r"[A-Za-z0-9]{6}_[A-Za-z0-9]{20,}_mmk",
    "mollie": r"(?:live|test)_(?=[A-Za-z]{0,40}\d)[A-Za-z0-9]{30,}",
    "mongodb": r"mdb_sa_(?:sk|id)_[\w-]{16,}",
    "nats": r"S[UANOC][A-Z2-7]{54,}",
    "neon": r"napi_[A-Za-z0-9]{20,}",
    "netlify": r"nf[pcoub]_[\w-]{16,}",
    "newrelic": r"NR(?:AK|JS|II|IQ|RA|AA|BR|SP|UK|MI)-[\w-]{12,}|[0-9a-f]{32,36}(?:FFFF)?NRAL",
    "notion": r"ntn_[A-Za-z0-9]{16,}|secret_[A-Za-z0-9]{24,}",
    "npm": r"npm_[A-Za-z0-9]{16,}",
    "nuget": r"oy2[a-z0-9]{43}(?![A-Za-z0-9])",
    "nvidia": r"nvapi-[\w-]{20,}",
    "octopus": r"API-[A-Z0-9]{24,}",
    "okta": r"00[\w-]{40}(?![\w-])",
    "onesignal": r"os_v2_(?:app|org)_[a-z0-9]{20,}",
    "openai": (
        r"sk-(?:proj|svcacct|admin|None|or-v1|lf|helicone|litellm)-[\w-]{12,}"
        r"|sk-(?=[A-Za-z0-9_-]{0,48}[0-9A-Z])[A-Za-z0-9][\w-]{17,}|pk-lf-[\w-]{12,}"
        r"|sess-[A-Za-z0-9]{32,}"
    ),
    "openshift": r"sha256~[\w-]{24,}",
    "paddle": r"pdl_(?:live|sdbx)_[\w-]{16,}|pdl_ntfset_[\w-]{16,}",
    "paypal": r"A21AA[\w-]{40,}|E[A-Z][\w-]{76,80}(?![\w-])",
    "perplexity": r"pplx-[A-Za-z0-9]{16,}",
    "pinecone": r"pcsk_[\w-]{16,}",
    "plaid": (
        r"(?:access|public|link|asset|processor)-(?:sandbox|development"
        r"|production)-[0-9a-f-]{20,}"
    ),
    "planetscale": r"pscale_(?:tkn|oauth|pw|api)_[\w=.-]{16,}",
    "polar": r"polar_(?:oat|pat|at|rt|cs|whs)_[\w-]{16,}",
    "posthog": r"ph[cxsar]_[A-Za-z0-9]{16,}",
    "postman": r"PMA[KT]-[\w-]{20,}",
    "prefect": r"pn[ubi]_[A-Za-z0-9]{16,}",
    "pulumi": r"pul-[0-9a-f]{20,}",
    "pypi": r"pypi-[\w-]{20,}",
    "razorpay": r"rzp_(?:live|test)_[A-Za-z0-9]{10,}",
    "readme": r"rdme_[a-z0-9]{20,}",
    "render": r"rnd_[A-Za-z0-9]{16,}",
    "replicate": r"r8_[A-Za-z0-9]{20,}",
    "resend": r"re_(?=[A-Za-z]{0,12}\d)[A-Za-z0-9]{6,12}_[A-Za-z0-9]{16,}",
    "rubygems": r"rubygems_[0-9a-f]{20,}",
    "salesforce": r"00D[A-Za-z0-9]{12,15}![\w.]{20,}",
    "scaleway": r"SCW[A-Z0-9]{17}(?![A-Za-z0-9])",
    "scalingo": r"tk-us-[\w-]{20,}",
    "sendgrid": r"SG\.[\w=-]{12,}(?:\.[\w=-]{12,})?",
    "sentry": r"sntry[su]_[\w+/=-]{20,}",
    "settlemint": r"sm_[aps]at_[A-Za-z0-9]{12,}",
    "shippo": r"shippo_(?:live|test)_[0-9a-f]{20,}",
    "shopify": r"shp(?:at|ca|pa|ss|tka|ua)_[0-9A-Za-z]{20,}",
    "slack": (
        r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"
        r"|xwfp-[A-Za-z0-9-]{10,}"
    ),
    "slack_path": r"T[A-Z0-9]{7,12}/(?:B|A|Ft)?[A-Z0-9]{7,14}/[A-Za-z0-9]{16,}",
    "snyk": r"snyk_(?:uat|sat)\.[\w.-]{16,}",
    "sonar": r"sq[pua]_[0-9a-z]{20,}",
    "sourcegraph": r"sg[pd]_(?:[0-9A-Za-z]{4,16}_)?[0-9a-f]{20,}|slk_[0-9a-f]{20,}",
    "square": (
        r"EAAA[\w-]{20,}|sq0(?:atp|csp|idp|csb|idb|csr)-[\w-]{16,}"
        r"|sandbox-sq0[a-z]{3}-[\w-]{16,}"
    ),
    "statsig": r"(?:secret|client|console)-[A-Za-z0-9]{40,}",
    "stripe": r"(?:sk|rk|pk|ek|mk)_(?:test|live|prod)_[A-Za-z0-9]{8,}|whsec_[A-Za-z0-9+/=]{12,}",
    "supabase": r"sbp_(?:v0_)?[0-9a-f]{20,}|sb_(?:secret|publishable)_[\w-]{16,}",
    "tailscale": r"tskey-[\w-]{12,}",
    "tavily": r"tvly-[\w-]{16,}",
    "telegram": r"\d{6,12}:A[A-Za-z0-9_-]{32,}",
    "tencent": r"AKID[A-Za-z0-9]{20,}",
    "terraform": r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{20,}",
    "together": r"tgp_v1_[\w-]{20,}",
    "twilio": r"(?:SK|AC|AP|US|MG)[0-9a-fA-F]{32}",
    "twitter": r"A{16,}[\w%]{20,}|\d{15,20}-[A-Za-z0-9]{30,}",
    "typeform": r"tfp_[\w.=-]{20,}",
    "vault": (
        r"hv[sbr]\.[\w-]{16,}|s\.(?=[A-Za-z]{0,24}\d)[A-Za-z0-9]{24}(?:\.[A-Za-z0-9]{5})?"
        r"(?![A-Za-z0-9])"
    ),
    "vercel": r"vc[pkiar]_[\w-]{20,}|vercel_blob_rw_[\w-]{8,}",
    "wix": r"IST\.[\w.-]{40,}",
    "xai": r"xai-[A-Za-z0-9]{20,}",
    "yandex": (
        r"AQVN[\w-]{24,}|YC[A-Za-z0-9_-]{38}(?![\w-])|t1\.[\w-]{2,}={0,2}\.[\w-]{40,}={0,2}"
        r"|y[0-3]_[\w-]{30,}"
    ),
}


@cache
def _vendor() -> re.Pattern[str]:
    return re.compile(_START + "(?:" + "|".join(VENDORS.values()) + ")")


def _hide_vendor_tokens(given: str) -> str:
    if rx(r"[\w.~|:/+=$%!-]{12}").search(given) is None:
        return given
    return _vendor().sub("[token]", given)


# Keys that name a secret --------------------------------------------------------------------------

_PASSWORD_WORDS = frozenset((
    "password", "passwd", "passwort", "passphrase", "passcode", "pwd", "pw", "psw", "pword",
    "passwords", "kennwort", "contrasena", "senha", "motdepasse", "passw", "pass",
))  # fmt: skip
_SPOKEN_WORDS = _PASSWORD_WORDS - {"pass", "pw"} | {"otp", "totp", "pin", "cvv", "cvc", "secret"}
_SECRET_WORDS = _PASSWORD_WORDS | frozenset((
    "secret", "secrets", "apikey", "apikeys", "credential", "credentials", "creds", "cred",
    "authorization", "cookie", "cookies", "bearer", "jwt", "sessionid", "sessid", "jsessionid",
    "phpsessid", "sid", "csrf", "xsrf", "csrftoken", "xsrftoken", "otp", "totp", "pin", "cvv",
    "cvc", "ssn", "iban", "passkey", "pat", "authtoken", "accesstoken", "refreshtoken", "idtoken",
    "authkey", "accesskey", "secretkey", "privatekey", "accountkey", "sharedkey", "signingkey",
    "encryptionkey", "mnemonic", "keyphrase", "pincode", "apitoken", "bottoken", "userpass",
    "dbpass", "accesskeyid", "sharedaccesskey", "sharedaccesssignature", "assertion", "verifier",
    "rememberme", "xoauth", "oauthtoken", "asp", "aspxauth", "cardnumber", "암호",
))  # fmt: skip
_INSIDE_WORDS = (
    "password", "passwd", "passphrase", "secret", "apikey", "privatekey", "accesskey",
    "authtoken", "accesstoken", "credential", "sessionid", "sessiontoken", "securitytoken",
    "refreshtoken", "비밀번호", "密码", "密碼", "пароль", "パスワード", "contraseña", "motdepasse",
)  # fmt: skip
_HARMLESS_INSIDE = (
    "secretsmanager", "secretary", "secretariat", "passwordless", "secretion", "secretly",
    "passwordstrength",
)  # fmt: skip
_KEY_OWNERS = frozenset((
    "api", "access", "secret", "private", "signing", "encryption", "encrypt", "decryption",
    "account", "shared", "auth", "app", "application", "service", "storage", "subscription",
    "hmac", "session", "deploy", "write", "server", "client", "license", "licence", "ssh",
    "master", "admin", "ingest", "webhook", "functions", "integration", "publishable", "secure",
    "rsa", "pgp", "gpg", "ssl", "tls", "aes", "crypto", "fernet", "salt", "bot", "user",
    "developer", "partner", "merchant", "recovery", "seed", "wallet", "restricted", "live", "sig",
    "algolia", "stripe", "openai", "anthropic", "datadog", "newrelic", "relic", "sendgrid",
    "mailgun", "twilio", "github", "gitlab", "aws", "azure", "google", "maps", "firebase", "fcm",
))  # fmt: skip
_TOKEN_UNITS = frozenset((
    "count", "counts", "max", "min", "stop", "start", "pad", "mask", "unk", "bos", "eos", "cls",
    "sep", "special", "input", "output", "prompt", "completion", "total", "cached", "reasoning",
    "per", "limit", "budget", "usage", "used", "saved", "injected", "number", "num", "before",
    "after", "avg", "mean", "p50", "p95", "rate", "cost", "price", "unexpected", "begin",
))  # fmt: skip
_KEY_ENDS = frozenset((
    "length", "len", "count", "size", "policy", "strength", "type", "field", "label", "error",
    "errors", "required", "enabled", "disabled", "expired", "expires", "expiry", "expiration",
    "valid", "invalid", "changed", "age", "min", "max", "attempts", "ttl", "limit", "usage",
    "rate", "version", "status", "state", "provider", "method", "consent", "banner", "prompt",
    "name", "names", "in", "at", "store", "manager", "source", "kind", "mode", "format", "hint",
    "exists", "set", "missing", "seconds", "minutes", "days", "ms", "url", "uri", "endpoint",
    "path", "dir", "file", "filename", "scope", "scopes", "header", "prefix", "position", "index",
    "exception", "exceptions", "failure", "warning", "fault", "handler", "middleware", "service",
    "summary", "duration", "column", "input", "rotation", "rotated", "check", "algorithm", "alg",
))  # fmt: skip
_WEAK_WORDS = frozenset((
    "key", "auth", "session", "signature", "sig", "nonce", "code", "hmac", "salt", "license",
    "seed", "access", "private", "webhook", "token", "tokens", "keys", "value", "dsn", "login",
    "hash", "digest", "ticket", "saml", "grant", "challenge", "fingerprint", "refresh",
))  # fmt: skip
# a secret in `db_pass` and `card.pin`, none in `pass_count`, `two_pass_scan` and `pin_map`
_SECRET_AT_THE_END = frozenset(("pass", "pw", "pat", "asp", "pin"))
_COMPLAINTS = frozenset(  # `InvalidAccessKeyId: The key ...` is the name of an error
    ("invalid", "missing", "bad", "wrong", "expired", "incorrect", "no", "unknown", "malformed")
)
_CODE_FILE = (
    r"\.(?:py|pyx|js|ts|tsx|jsx|mjs|cjs|go|rs|java|kt|cs|rb|php|c|cc|cpp|h|hpp|swift|scala|vue"
    r"|svelte|html?|css|json|ya?ml|toml|lock|log|md|txt|sh)\Z"
)
_STRONG, _WEAK, _PLAIN = 2, 1, 0


def is_secret_key(key: str) -> bool:
    """Tell whether a key (`api_key`, `X-Auth-Token`, `dbPassword`) names a secret value."""
    return _strength(key[:KEY_CHARS_MAX]) == _STRONG


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _strength(key: str) -> int:
    """Rate a key: its value is a secret, is one when it looks like one, or is harmless."""
    if rx(_CODE_FILE).search(key):
        return _PLAIN  # `token.py:12`
    words = _words(rx(r"(?<!\w)" + _OWN_MASK).sub("", key))  # the word in `[token]` names no value
    if len(words) > 1 and words[-1] in _KEY_ENDS:
        return _PLAIN
    if len(words) > 1 and words[0] in _COMPLAINTS:
        return _WEAK
    if _names_a_secret(words):
        return _STRONG
    if _TOKEN_UNITS.intersection(words) or words[-2:] == ["token", "id"]:
        return _PLAIN
    return _WEAK if _WEAK_WORDS.intersection(words) else _PLAIN


def _names_a_secret(words: list[str]) -> bool:
    squashed = "".join(words)
    for harmless in _HARMLESS_INSIDE:
        squashed = squashed.replace(harmless, "")
    if any(word in squashed for word in _INSIDE_WORDS) or squashed.endswith(("pwd", "passwd")):
        return True
    if words and words[-1].endswith("pw"):
        return True  # `dbpw`, `bindpw`
    named = _SECRET_WORDS.intersection(words)
    if named - _SECRET_AT_THE_END or named.intersection(words[-1:]):
        return True
    if "token" in words or squashed.endswith("token"):
        return not _TOKEN_UNITS.intersection(words) and words[-1] != "id"
    if words[-1:] in (["key"], ["keys"]) or words[-2:] == ["key", "id"]:
        return bool(_KEY_OWNERS.intersection(words[:-1]))
    return "session" in words and words[-1] in {"id", "ids"}


def _words(key: str) -> list[str]:
    """Split `X-Auth-Token`, `dbPassword` and `API_KEY` into lower-case words."""
    spaced = rx(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])").sub(" ", key)
    return rx(r"[a-z]+|[^\W\d_a-z]+").findall(spaced.lower())


# Key and value ------------------------------------------------------------------------------------

_QUOTE = r"(?:\\{0,4}[\"'`]|&quot;|%22|&\#39;|&\#34;|\\{1,4}u0022)"
_KEY = (
    r"(?P<dash>(?<![\w-])-{1,2})?"
    r"(?P<key>(?<![\w$])(?:(?i:api|access|secret|private|signing|encryption|account|client|session"
    r"|auth|master|license|security|shared|storage|one[- ]time|service|mot de) )?[\w.$-]{1,128}+"
    r"(?:\[[\w-]{0,40}\]){0,4})"
    rf"(?P<sep>(?:{_QUOTE}\]?)?"
    r"(?:[ \t]{0,4}(?:=>|->|:=|={1,3}|:(?!:)"
    r"|%3[AaDd]|\\{1,4}u003[AaDd]|&\#(?:61|58|[xX]3[AaDd]);)"
    r"(?:[ \t]{0,4}(?:[|>][-+]?)?[ \t]*\r?\n[ \t]{1,16}|[ \t]{0,16})"
    r"|(?<=[\"'`])[ \t]{0,3},[ \t]{0,3}(?=\\{0,4}[\"'`])"
    r"|(?<=[\"'])[ \t]{1,4}(?:value|content|default)[ \t]{0,2}=[ \t]{0,2}"
    r"|(?<=[\"'])\s{0,4}/?>\s{0,4}"
    r"|(?<=[\"'])\r?\n\r?\n"
    r"|(?:[ \t][\w:.-]{1,40}=[\"'][^\"'<>\n]{0,80}[\"']){0,3}>\s{0,16}"
    r"|\((?:[\w.]{1,40},[ ]?)?(?=(?i:[bruf]{0,2})\\{0,4}[\"'`])"
    r"|[ \t](?:for|of)[ \t][^\s:=]{1,64}[ \t](?:is|was)[ \t]{1,2}(?!=)(?=\S)"
    r"|(?<![\"'`])[ \t]{1,4}(?:(?:is|was|to)[ \t]{1,2}(?!=))?(?=[^\s=:])))"
)
_QUOTED = (
    rf"(?:(?i:[brufnl]|rb|br|fr|u8)|[@$&]{{1,2}})?(?P<open>{_QUOTE})"
    r"(?P<inner>(?:(?!(?P=open))[^\n\\]|\\(?!\\{0,3}[\"'`])[^\n]|(?!"
    r"(?P=open))\\[^\n])*+)"
)
_BARE = (
    r"(?:[^\s\"'<>,;&`\\]|[,;&](?!\s|\Z|\"|'|[\w.\- ]{1,40}[=:])|\\(?![nrt\"'\\]))"
    r"{1,4096}+"
)
_WRAPPER = (
    r"(?:new |[&*%])?(?:[A-Za-z_]\w{0,40}(?:(?:\.|::)[A-Za-z_]\w{0,40}){0,4}(?:<\w{1,40}>)?)?"
    r"(?=[\[({])"
)
_WRAPPED_PARTS = (
    r"\\{0,4}\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+'|`[^`]*+`|(?P<open>[\[({])|(?P<close>[\])}])"
)
WRAPPED_CHARS_MAX: Final = 800  # of `SecretStr("...")`, from its first bracket to its last
_MASK = (  # already hidden, to its end
    r"(?:(?:(?i:bearer|basic|digest|token|apikey|negotiate|ntlm|oauth|aws4-hmac-sha256"
    r"|\w{2,12}) {1,2})?\[(?:secret|token|jwt|key|redacted|email|ip|hash|card|phone|id|path|user"
    r"|url)\]|\*{3,})(?![^\s\"'<>,;&)\]}.:!?\\])"
)
_CALLED_WORDS = [
    [word] for word in (*_PASSWORD_WORDS, "secret", "token", "key", "str", "bytes", "credentials")
]
_NO_SECRETS = frozenset((
    "yes", "no", "true", "false", "null", "none", "undefined", "nil", "nan", "empty", "missing",
    "required", "invalid", "expired", "unknown", "on", "off", "set", "unset", "not", "is", "was",
    "has", "and", "or", "the", "a", "an", "must", "cannot", "can", "should", "may", "incorrect",
    "wrong", "mismatch", "given", "provided", "present", "absent", "ok", "failed", "rejected",
    "string", "str", "int", "optional", "any", "object", "bytes", "bool", "number", "type",
    "authentication", "changed", "does", "did", "doesn't", "too", "for", "in", "at", "of", "to",
    "from", "with", "by", "as", "if", "it", "disabled", "enabled", "denied", "error", "default",
    "expected", "requires", "needs", "flag", "option", "argument", "instead", "takes", "specified",
    "used", "found", "accepts", "conflicts", "parameter", "value", "only", "got", "received", "be",
    "malformed", "revoked", "unauthorized", "forbidden", "hidden", "redacted", "masked", "n/a",
    "-", "?", "...", "\N{HORIZONTAL ELLIPSIS}", "<", ">", "{", "}", "|", "%s", "{}", "%r", "%d",
))  # fmt: skip


def _hide_values(given: str) -> str:
    """Hide the values of secret keys, however key and value are written next to each other."""
    pieces: list[str] = []
    done = 0
    find = rx(_KEY).search
    found = find(given)
    while found is not None:
        span = _value_span(given, found)
        if span is None:
            found = find(given, max(found.end("key"), found.start() + 1))
            continue
        start, end = span
        pieces += (given[done:start], SECRET)
        done = end
        found = find(given, end)
    return "".join((*pieces, given[done:])) if pieces else given


def _value_span(given: str, found: re.Match[str]) -> tuple[int, int] | None:
    """Return where the secret value of a key starts and ends, or None when there is none."""
    key, separator = found["key"], found["sep"]
    strength = _strength(key[-KEY_CHARS_MAX:])
    if strength == _PLAIN or _is_a_parser_talking(given, found):
        return None
    start = found.end()
    spoken = separator[:1] in " \t" and not separator.strip(" \t")
    worded = separator.strip(" \t").endswith(("is", "was", "to"))
    if separator.startswith("(") and _words(key)[-1:] not in _CALLED_WORDS:
        return None  # `TokenNotFound("...")` says something, `set_password("...")` sets it
    quoted = rx(_QUOTED).match(given, start)
    if quoted and quoted["inner"]:
        start, end = quoted.span("inner")
    else:
        if rx(_MASK).match(given, start):
            return None
        wrapper = rx(_WRAPPER).match(given, start)
        end = _closing(given, wrapper.end()) if wrapper else start
        bare = rx(_BARE).match(given, end)
        end += len(bare[0].rstrip(")]}.:")) if bare else 0
        if end == start:
            return None
    value = given[start:end]
    if (spoken or worded) and not found["dash"]:
        spoken_secret = _SPOKEN_WORDS.intersection(_words(key)) and _looks_secret(value)
        return (start, end) if spoken_secret or _looks_random(value) else None
    return (start, end) if _is_secret_value(key, value, strength, found) else None


def _closing(given: str, start: int) -> int:
    """Return where the bracket that opens at `start` is closed, or else where its line ends."""
    depth = 0
    for part in rx(_WRAPPED_PARTS).finditer(given, start, start + WRAPPED_CHARS_MAX):
        depth += bool(part["open"]) - bool(part["close"])
        if depth == 0:
            return part.end()
    line_end = given.find("\n", start, start + WRAPPED_CHARS_MAX)
    return line_end if line_end > start else min(len(given), start + WRAPPED_CHARS_MAX)


def _is_a_parser_talking(given: str, found: re.Match[str]) -> bool:
    """Tell `unexpected token: }` and `next token =` from a token of a login."""
    before = given[max(0, found.start("key") - 14) : found.start("key")].lower()
    return found["key"].lower() in {"token", "tokens", "key"} and before.rstrip().endswith(
        ("unexpected", "unknown", "illegal", "missing", "duplicate", "unrecognized")
    )


def _is_secret_value(key: str, value: str, strength: int, found: re.Match[str]) -> bool:
    bare = value.strip(" \t")
    if "=" in bare and "cookie" in key.lower():
        return False  # a cookie header: its names stay, each value is already hidden
    if not bare or bare.lower().rstrip(".,;:!)") in _NO_SECRETS:
        return False
    if strength == _WEAK:
        return _looks_random(bare)
    if key in {"PWD", "OLDPWD"} and bare[0] in "/~":
        return False
    return not (found["dash"] and bare.startswith("-") and found["sep"].isspace())


def _looks_secret(value: str) -> bool:
    """Tell `hunter2-FAKE` from a word of a sentence."""
    value = value.strip(".,:;!?)]}'\"")
    if len(value) < 4 or value.startswith(("[", "<", "(")):  # noqa: PLR2004 - shorter is a word
        return False
    has_digit = any(c.isdigit() for c in value)
    has_letter = any(c.isalpha() for c in value)
    has_sign = bool(rx(r"[!@#$%^&*+=~]").search(value))
    return (has_digit and has_letter) or (has_letter and has_sign) or value.isdigit()


def _looks_random(value: str) -> bool:
    """Tell what a machine drew (`x7Kq2...`, a UUID, 16 hex digits) from a name a person gave."""
    value = value.strip("\"'[](){}<>,.;:=")
    if rx(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}").search(value):
        return True
    if len(value) < 12:  # noqa: PLR2004 - too short to tell
        return False
    if rx(r"[0-9a-f]{16,}|[0-9A-F]{16,}").fullmatch(value) and not value.isdigit():
        return True
    return any(
        len(part) >= 12 and _mixed(part) >= 3  # noqa: PLR2004 - see _mixed
        for part in rx(r"[^A-Za-z0-9]+").split(value)
    )


def _mixed(part: str) -> int:
    """Count how often digits and letters change places: names do it once or twice."""
    return len(rx(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)").findall(part))


# Secrets that stand further from their key --------------------------------------------------------

NAME_KEYS: Final = (
    "name", "key", "field", "header", "variable", "var", "env", "param", "parameter", "property",
)  # fmt: skip
VALUE_KEYS: Final = ("value", "val", "content", "data", "default")
_NAME_VALUE = (
    rf"(?i:(?P<head>(?<![\w$-])(?:{'|'.join(NAME_KEYS)})"
    rf"{_QUOTE}?[ \t]{{0,4}}[:=>][ \t]{{0,4}}{_QUOTE}?(?P<key>[\w.$-]{{1,128}}+)"
    rf"{_QUOTE}?(?:</\w{{1,20}}>)?"
    rf"(?:(?!\b(?:name|key)\b)[^{{}}]){{0,120}}?(?<![\w$-])(?:{'|'.join(VALUE_KEYS)})"
    rf"{_QUOTE}?[ \t]{{0,4}}[:=>][ \t]{{0,4}}))"
    rf"(?P<value>(?P<open>{_QUOTE})(?:(?!(?P=open))[^\n\\]|(?!(?P=open))\\[^\n])*+|[^\s,;<>{{}}\"'\\]{{1,4096}}+)"
)
_VALUE_NAME = (
    rf"(?i:(?P<head>(?<![\w$-])(?:{'|'.join(VALUE_KEYS)})"
    rf"{_QUOTE}[ \t]{{0,4}}[:=][ \t]{{0,4}})"
    rf"(?P<value>(?P<open>{_QUOTE})(?:(?!(?P=open))[^\n\\]|(?!(?P=open))\\[^\n]){{0,400}}+)"
    rf"(?P<tail>(?P=open)\s{{0,8}},\s{{0,8}}{_QUOTE}(?:{'|'.join(NAME_KEYS)})"
    rf"{_QUOTE}[ \t]{{0,4}}[:=][ \t]{{0,4}}{_QUOTE}(?P<key>[\w.$-]{{1,128}}+)))"
)


def _hide_named_value(found: re.Match[str]) -> str:
    """Hide the value in `name: DB_PASSWORD, value: x`, in this order or the other."""
    value = found["value"][len(found["open"] or "") :]
    if not value or not is_secret_key(found["key"]) or rx(_MASK).match(value):
        return found[0]
    return f"{found['head']}{found['open'] or ''}{SECRET}{found.groupdict().get('tail') or ''}"


_SQL_STRING = r"'(?:[^'\\]|''|\\.)*+(?:'|\Z)|\"(?:[^\"\\]|\"\"|\\.)*+(?:\"|\Z)"
_SQL_VALUES = (
    r"(?i:(?P<head>\binto\s{1,8}[^()\n]{1,200}\((?P<columns>[^()]{1,2000})\)\s{0,8}values?\s{0,8}))"
    rf"(?P<values>(?:\((?:{_SQL_STRING}|[^'\"()]|\([^()]{{0,200}}\))*+\)?[\s,]{{0,8}})++)"
)


def _hide_sql_values(found: re.Match[str]) -> str:
    """Hide the strings of a row when one of its columns is a secret: which one is hard to tell."""
    if not any(
        is_secret_key(column.strip(" \t\n\"`[]'")) for column in found["columns"].split(",")
    ):
        return found[0]
    return found["head"] + rx(_SQL_STRING).sub(f"'{SECRET}'", found["values"])


_REDIS_AUTH = r"(?i:(\bredis\w{0,20}\.auth(?:[ \t]{1,4}|\([\"']?)(?!\[secret\])))([^\s\"')]{1,400})"


def _hide_redis_auth(found: re.Match[str]) -> str:
    return found[0] if found[2].lower().strip(".,:;") in _NO_SECRETS else found[1] + SECRET


_DATABASE_PORT = r"(?:543\d|6432|6543|3306|1433|1521|27017|6379|26257|5439)"
_PGPASS = (
    r"(?<![\w.:/@-])(?![0-9A-Fa-f:]{1,60}+(?![\w.*-]))"
    r"(?P<head>(?:(?P<host>[\w*-][\w.*-]{0,200}):(?:\d{3,5}|\*)"
    r":[A-Za-z_*][\w*-]{0,63}:[\w*][\w.*@-]{0,63}:"
    rf"|(?:[\w-]{{1,64}}:{_DATABASE_PORT}"  # with four fields the host or the port has to say more
    r"|(?:localhost|\*|[\w-]{1,64}(?:\.[\w-]{1,64}){1,8}):(?:\d{3,5}|\*))"
    r":[A-Za-z_*][\w*-]{0,63}:))(?!\[secret\])(?P<value>[^\s\"'<>,;:](?:[^\s\"'<>,;])*+)"
)


def _hide_pgpass(found: re.Match[str]) -> str:
    host = found["head"].split(":", 1)[0]
    return found[0] if rx(_CODE_FILE).search(host) else found["head"] + SECRET


_MNEMONIC = (
    r"(?i:(?P<head>\b(?:mnemonic|(?:seed|recovery|backup|secret)[ _-]?(?:phrase|words))\w{0,10}"
    r"[\"']?[ \t]{0,3}[:=][ \t]{0,3}[\"']?))(?P<words>[^\W_][^\n\"'\[\]]{0,2000}+)"
)


def _hide_mnemonic(found: re.Match[str]) -> str:
    words = found["words"].rstrip(" \t\r)}.,;")
    few = len(rx(r"[^\W\d_]{2,}").findall(words)) < 3  # noqa: PLR2004 - `mnemonic: checksum mismatch`
    return found[0] if few else found["head"] + SECRET + found["words"][len(words) :]


_TABLE = (
    r"(?m:^(?P<head>[ \t]*[|\u2502][ \t]*(?P<key>[\w.$-]{1,128}+)[ \t]*[|\u2502][ \t]*)"
    r"(?P<value>[^|\u2502\s][^|\u2502\n]{0,400}?)(?P<tail>[ \t]*[|\u2502][ \t]*)$)"
)


def _hide_table(found: re.Match[str]) -> str:
    """Hide the value in a row of a table with two columns."""
    value = found["value"]
    if not is_secret_key(found["key"]) or value.lower() in _NO_SECRETS or rx(_MASK).match(value):
        return found[0]
    return f"{found['head']}{SECRET}{found['tail']}"


_HEADER = (
    r"(?P<head>(?:proxy-|x-)?authori[sz]ation\\{0,4}[\"']?\)?\s{0,3}(?:[:=]|=>"
    r"|,)\s{0,3}\\{0,4}[\"']?)"
    r"(?P<value>(?:(?P<scheme>[A-Za-z][\w-]{1,24})[ \t]{1,4})?"
    r"(?:(?:[\w-]{1,40}=(?:\"[^\"\n]{0,2000}\"|[^\s,;\"']{0,2000})(?:,[ \t]{0,3}"
    r"|[ \t]{1,3}(?=[\w-]{1,40}=\S)|(?=[\s\"';]|\Z))){1,40}+"
    r"|[^\s\"',;\\]{1,4096}))"
)


def _hide_authorization(found: re.Match[str]) -> str:
    scheme = f"{found['scheme']} " if found["scheme"] else ""
    value = found["value"][len(found["scheme"] or "") :].strip()
    if value.lower() in _NO_SECRETS or found["value"].lower() in _NO_SECRETS or value == SECRET:
        return found[0]
    if scheme and len(value) < 12 and value.isalpha() and value.islower():  # noqa: PLR2004
        scheme = ""  # two words of a sentence, or a scheme nobody knows: hide both
    return f"{found['head']}{scheme}{SECRET}"


_BEARER = (
    r"(?<![\w-])(?P<scheme>[Bb]earer|BEARER|[Bb]asic|BASIC|[Nn]egotiate|NTLM)(?P<gap>[ \t]{1,4}"
    r"|%20|\+)(?P<value>[\w.~+/%-]{6,4096}+={0,2})(?![\"=])"
)


def _hide_bearer(found: re.Match[str]) -> str:
    value = found["value"].rstrip(".")
    if found["scheme"].lower() == "basic":
        secret = len(value) % 4 == 0 and bool(rx(r"\d|=|[a-z][A-Z]").search(value))
    else:
        secret = bool(rx(r"\d|[._~+/=%]|[a-z][A-Z]").search(value)) or len(value) >= 20  # noqa: PLR2004
    return f"{found['scheme']}{found['gap']}{SECRET}" if secret else found[0]


_COOKIE = (
    r"(?P<head>\b(?:set-)?cookie2?\\{0,4}[\"']?\)?\s{0,3}(?:[:=]|=>"
    r"|,)\s{0,3}\\{0,4}[\"']?)(?P<rest>[^\n\"'\\]{1,4096})"
)
_COOKIE_ATTRIBUTES = frozenset(
    ("path", "domain", "expires", "max-age", "samesite", "secure", "httponly", "priority")
)


def _hide_cookies(found: re.Match[str]) -> str:
    rest = rx(r"([^\s=;,]{1,256}+)=([^;\s,]{1,4096})").sub(_hide_cookie, found["rest"])
    return found["head"] + rest


def _hide_cookie(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in _COOKIE_ATTRIBUTES else f"{found[1]}={SECRET}"


_USER_LOGIN = (
    r"(?P<flag>(?<![\w-])(?:-u|-U|-a|--user|--proxy-user|--auth|--basic)(?:=|[ \t]{0,3})[\"']?)"
    r"(?P<user>[^\s:\"']{1,100}):(?P<password>(?<=:)[^\s\"']{1,400})"
)


def _hide_user_password(found: re.Match[str]) -> str:
    if found["user"].isdigit() and found["password"].isdigit():
        return found[0]  # docker run -u 1000:1000
    return f"{found['flag']}[user]:{SECRET}"


_COMMAND_LOGIN = (
    r"(\b(?:sshpass|docker(?: login)?|podman login|mysql\w*|mariadb\w*|redis-cli|mongo\w*"
    r"|svn|ldap\w+|smbclient"
    r"|az login|helm|skopeo|7z|zip|unzip|openssl|ftp|lftp|kinit|net use"
    r"|psexec)\b[^\n|;&]{0,200}?[ \t]"
    r"(?:-p|-a|-w|-P|-passin pass:|-passout pass:"
    r"|/user:\S{1,80})[ \t]?)([\"']?)((?!\d{1,5}(?:\s|:"
    r"|\Z))(?!-)(?!\[secret\])[^\s\"']{1,400})"
)
_SQL_LOGIN = (
    r"((?i:identified (?:with \S{1,40} )?by|with (?:encrypted )?password"
    r"|set password(?: for \S{1,80})?)\s{1,4}=?\s{0,3}(?:password\()?[\"'])([^\"'\n]{1,400})"
)
_NETRC = r"(?i:(\blogin[ \t]+\S{1,200}[ \t\n]+password[ \t]+)(\S{1,400}))"
_ORACLE = r"(?i:(jdbc:oracle:\w{1,10}:)([^\s/@]{1,100}/[^\s@]{1,200})(?=@))"
_USERINFO = (
    r"(?<![\w/.@%+-])(?!mailto:)([\w.%+-]{1,64}:(?!//)[^\s@\"'<>,;]{1,200})@"
    r"(?=\[?[A-Za-z0-9][\w.-]{0,200}(?:\(|:\d|/|\.[A-Za-z]|\]))(?!v?\d+\.\d+\.\d+(?![\d.])|sha\d)"
)

# URLs ---------------------------------------------------------------------------------------------

_URL = (
    r"(?<![A-Za-z0-9])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,30}+):(?P<slashes>\\?/\\?/)"
    r"(?P<rest>[^\s\"'<>`\\]{1,4096})"
)
_LOCAL_SCHEMES = ("file", "vscode", "sqlite", "unix", "editor", "webpack", "app", "jar", "idea")


def _shorten_url(found: re.Match[str]) -> str:
    scheme, rest = found["scheme"].lower(), found["rest"]
    tail = ""
    while rest and rest[-1] in ").,;!]}" and (rest[-1] != ")" or rest.count("(") < rest.count(")")):
        if rest[-1] in "]}" and rest.count(rest[-1]) <= rest.count("[" if rest[-1] == "]" else "{"):
            break
        rest, tail = rest[:-1], rest[-1] + tail
    rest = _without_userinfo(rest)
    where, query = _split_query(rest)
    position = rx(r"(?::\d{1,7}){1,2}\Z").search(query) if query else None
    if position and rx(r"\.\w{1,6}\Z").search(where):
        where += position[0]
    if scheme.startswith(_LOCAL_SCHEMES):
        where = _shorten_local(where)
    return f"{found['scheme']}:{found['slashes']}{_hide_hook(where)}{tail}"


def _without_userinfo(rest: str) -> str:
    """Drop `user:password@`, also where the password holds a sign that ends a host."""
    host = rx(r"[/?#]").split(rest, maxsplit=1)[0]
    if "@" in host:
        return rest[host.rindex("@") + 1 :]
    loose = rx(r"[^/:@]{1,100}:(?!\d{1,5}(?:/|\Z))[^@]{1,200}@(?=[\w.\[-])").match(rest)
    return rest[loose.end() :] if loose else rest


def _split_query(rest: str) -> tuple[str, str]:
    cut = rx(r"[?#;](?=.)|[?#]").search(rest)
    return (rest[: cut.start()], rest[cut.start() :]) if cut else (rest, "")


def _shorten_local(where: str) -> str:
    kept = where.rstrip("/").rsplit("/", 1)[-1] if "/" in where.rstrip("/") else where.rstrip("/")
    return "/" + kept if kept else where[:1]


def _hide_hook(where: str) -> str:
    return rx(
        r"(?i)((?:webhooks?\w*|hooks|services|workflows|triggers"
        r"|IncomingWebhook)/)(?=[^?#\s]*[\w-]{16})[^?#\s]{16,}"
        r"|(/(?:file/)?bot)\d{5,}:[\w-]{10,}"
    ).sub(lambda found: (found[1] or found[2]) + "[token]", where)


# Paths --------------------------------------------------------------------------------------------

_SEGMENT = r"[^\s/\\:\"'<>|?*,;()\[\]{}`]"
_POSIX = (
    r"(?P<lead>(?:(?i:\b(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|route|endpoint)[ \t]))?)"
    r"(?<![\w.~/\\$%)\]}<-])(?P<path>(?:(?:\.{1,2}/){1,20}(?=(?:home|Users)/)|~[\w.-]{0,64}/|/)"
    rf"(?:{_SEGMENT}{{1,255}}+(?:(?<=[\w)])(?:[ ][A-Z(][^\s/\\:\"'<>|?*,;]{{0,60}}){{1,4}}+"
    rf"(?=/))?/{{1,2}}){{0,64}}"
    rf"{_SEGMENT}{{0,255}})"
)
_QUOTED_PATH = (
    r"(?P<open>[\"'`])(?P<path>(?:~[\w.-]{0,64}/|/|[A-Za-z]:[\\/]"
    r"|\\{2,4})[^\"'`\n]{1,1024}[\\/][^\"'`\n]{1,255})(?P=open)"
)
_WINDOWS = (
    r"(?<![A-Za-z0-9])(?P<path>(?:\\{2,4}\?\\{1,2})?(?:[A-Za-z]:[\\/]{1,4}"
    r"|\\{2,4}[\w.$-]{2,64}\\{1,4}|\\{1,2}(?=(?:Users|home|Documents and Settings)\\))"
    r"(?:[^\\/:*?\"'<>|\r\n]{1,80}[\\/]{1,4}){0,64}[^\\/:*?\"'<>|\s,;()\[\]{}`]{0,255})"
)
_BARE_HOME = (
    r"(?<![\w/\\.~-])(?P<path>(?:home"
    r"|Users)[\\/][\w.@-]{1,64}[\\/][^\s:\"'<>|?*,;()\[\]{}`]{1,512})"
)
_ENCODED_HOME = r"(?i:(?:%2F|%5C)(?:home|Users)(?:(?:%2F|%5C)[\w.~@+-]{1,128}){1,32})"
_DASHED_HOME = r"(?<![\w-])-(?:home|Users)-[\w-]{1,200}"
_ROUTE_ROOTS = frozenset(
    ("api", "graphql", "rest", "rpc", "auth", "oauth", "oauth2", "static", "assets", "v1", "v2")
) | {"v3", "v4", "health", "healthz", "metrics", "ws", "mcp", "webhooks", "dev", "sse", "tools"}
_HOMES = frozenset(("home", "users", "documents and settings"))


def _shorten_path(found: re.Match[str]) -> str:
    path = found["path"]
    lead = found.groupdict().get("lead") or ""
    if "/" not in path.strip("/") and not path.startswith(("~", "\\")) and ":" not in path:
        return found[0]
    segments = [part for part in rx(r"[\\/]+").split(path) if part]
    if lead and segments[0] not in {"home", "Users"}:
        return found[0]
    if path.startswith("/") and segments[0].lower() in _ROUTE_ROOTS:
        return found[0]
    return lead + _basename(path, segments)


def _shorten_quoted(found: re.Match[str]) -> str:
    """Shorten a quoted path, whose names may hold blanks."""
    path, quote = found["path"], found["open"]
    segments = [part for part in rx(r"[\\/]+").split(path) if part]
    if not segments or (path.startswith("/") and segments[0].lower() in _ROUTE_ROOTS):
        return found[0]
    if rx(r"\s[/~]|\s[A-Za-z]:\\|://").search(path):
        return found[0]  # several paths or a command line: each is found on its own
    short = _basename(path, segments)
    if " " in short and not rx(r"\.\w{1,8}(?::\d|\Z)").search(short):
        short = "[path]"
    return f"{quote}{short}{quote}"


def _basename(path: str, segments: list[str]) -> str:
    """Keep the last name of a path, unless that is a person's own folder."""
    if not segments or path.rstrip("\\/") == "~":
        return path
    if path.startswith("~") and len(segments) == 1:
        return "~"
    folder = segments[-2].lower() if len(segments) > 1 else ""
    if folder in _HOMES and not rx(r"\.\w{1,6}\Z").search(segments[-1]):
        return "~"
    return segments[-1]


# People and machines ------------------------------------------------------------------------------

_EMAIL = (
    r"(?:\"[^\"\n@]{1,64}\"|(?:[\w.!#$&*+/=^{|}~-]|(?<=\w)'(?=\w)){1,64}|[\w.+%-]{1,64})(?:@|%40|\uff20)"
    r"(?:(?:[^\W_](?:[\w-]{0,62})\.){1,8}(?!(?:png|jpe?g|gif|svg|webp|ico|[cm]?js|[cm]?ts"
    r"|jsx|tsx|vue|svelte|html?|css|java|kt|cs)\b)(?!(?:rs|py|rb)\b:\d)(?:[^\W\d_]{2,24}"
    r"|xn--[\w-]{2,40})(?![\w])"
    r"|(?:localhost|localdomain)\b|\[[\d.:a-fA-FIPv]{3,45}\])"
)
_SPELLED_EMAIL = (
    r"(?i:[\w.+-]{1,64} ?[\[({] ?at ?[\])}] ?[\w-]{1,63}(?: ?(?:\."
    r"|[\[({] ?dot ?[\])}]) ?[\w-]{1,63}){1,5})"
)
_LOGIN_AT = (
    r"(?P<head>(?i:\b(?:ssh|scp|sftp|rsync|mosh)\b[^\n|;&@]{0,120}[ \t]))[\w.-]{1,64}@[\w.-]{1,200}"
)
_IPV4 = (
    r"(?<![\w.])(?<![A-Za-z]-)(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]"
    r"|2[0-4]\d|1\d\d|[1-9]?\d)"
    r"(?![\w]|\.\d|-\d|\.(?:tar|zip|tgz|whl|gz|jar|exe|dll|deb|rpm|nupkg|vsix)\b)"
)
_VERSION_BEFORE = (
    r"(?i:(?:version|release|build|ver|v|revision|assembly|sdk|runtime|client|python|chrome|edge"
    r"|driver|firmware)[\"']?[ :=/(]{0,3}\Z)"
)


def _hide_ipv4(found: re.Match[str]) -> str:
    address = found[0]
    if address.startswith("127.") or address == "0.0.0.0":  # noqa: S104 - compared, not bound
        return address
    before = found.string[max(0, found.start() - 20) : found.start()]
    return address if rx(_VERSION_BEFORE).search(before) else "[ip]"


_IPV6 = (
    r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:{1,2}|::){1,8}+(?:[0-9A-Fa-f]{1,4}(?![0-9A-Fa-f]))?"
    r"(?:\.\d{1,3}){0,3}(?:%[\w.-]{1,32})?(?![\w:(]|\.\w)"
)
_IPV6_FIRST = r"(?i:[23][0-9a-f]{3}|f[cdef][0-9a-f]{2}|0{0,2}64|100):"
_IPV6_GROUPS_MIN = 4


def _hide_ipv6(found: re.Match[str]) -> str:
    address = found[0].split("%", 1)[0]
    trail = address[-1:] if address.endswith(":") and not address.endswith("::") else ""
    address = address.removesuffix(":") if trail else address
    if address in {"::", "::1"} or not _is_ipv6(address):
        return found[0]
    groups = sum(1 for group in address.split(":") if group)
    known = rx(_IPV6_FIRST).match(address) or address.lower().startswith("::ffff:")
    if not known and (groups < _IPV6_GROUPS_MIN or not any(c.isdigit() for c in address)):
        return found[0]
    return "[ip]" + trail


def _is_ipv6(address: str) -> bool:
    import ipaddress  # noqa: PLC0415 - 3 ms that only a text with such an address pays

    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


_AWS_HOST = r"(?<![\w-])ip(?:-\d{1,3}){4}(?![\w-])|(?<![\w-])ec2(?:-\d{1,3}){4}(?=\.)"
_MAC = (
    r"(?<![\w:-])(?:[0-9A-Fa-f]{2}:){5,40}[0-9A-Fa-f]{2}(?![\w:-])"
    r"|(?<![\w:-])(?=[0-9-]{0,15}[A-Fa-f])(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}(?![\w:-])"
    r"|(?<![\w.])(?=[0-9.]{0,12}[a-f])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?![\w.])"
)

_CARD = r"(?<![\w.])(?<!\d-)\d(?:[ -]?\d){11,18}+(?![\w]|[.-]\d)"
_CARD_PREFIX = (
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}"
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12}(?:\d{3})?|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-59]"
    r"|[689]\d)\d{11}"
    r"|62\d{14,17}|(?:220[0-4]|508[125]|60(?:69|76|82)|81[0-7]\d)\d{12}"
)
_LOOSE_CARD_PREFIX = r"(?:50|5[6-9]|6[0-9])\d{10,17}"
_CARD_GROUPS = r"\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}"


def _hide_card(found: re.Match[str]) -> str:
    digits = found[0].replace(" ", "").replace("-", "")
    grouped = len(digits) != len(found[0])
    if grouped and not rx(_CARD_GROUPS).fullmatch(found[0]):
        return found[0]
    known = rx(_CARD_PREFIX).fullmatch(digits) or (
        grouped and rx(_LOOSE_CARD_PREFIX).fullmatch(digits)
    )
    return "[card]" if known and _luhn(digits) else found[0]


def _luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if index % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the sum of two digits
    return total % 10 == 0


_SSN = (
    r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"
    r"|(?i:(?<=ssn )\d{3} ?\d\d ?\d{4}\b)"
)
_IBAN = (
    r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?(?![A-Za-z0-9])"
)


def _hide_iban(found: re.Match[str]) -> str:
    compact = found[0].replace(" ", "").replace("-", "")
    number = "".join(str(int(c, 36)) for c in compact[4:] + compact[:4])
    return "[id]" if int(number) % 97 == 1 else found[0]


_PHONE = (
    r"(?<![\w+.:/-])\+(?:[1-9]\d{9,14}(?![\w.]\w|\w)"
    r"|[1-9]\d{0,2}(?=[ .()-]{1,2}\d)(?:[ .()-]{1,2}\d{1,8}){2,6}+(?![\w]))"
    r"|(?<![\w.+/-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])\d{3}[ .-]\d{4}(?![\w-]|\.\d)"
    r"|(?<![\w.+/-])0\d{1,4}-\d{2,4}-\d{3,4}(?![\w-]|\.\d)"
    r"|(?<![\w.+/:-])\(?0\d{1,4}\)[ -]?\d{2,4}[ -]\d{3,4}(?![\w-]|\.\d)"
    r"|(?<![\w.+/:-])0[1-9]([ .-])\d\d\1\d\d\1\d\d\1\d\d(?![\w-]|[ .-]\d)"
    r"|(?<![\w.+/:-])0\d{2,4} \d{3,4} \d{3,4}(?![\w-]|[ .-]\d)"
    r"|(?<![\w.+/-])00[1-9]\d{0,2}(?:[ -]\d{2,5}){2,5}(?![\w-])"
)
_PHONE_AFTER_WORD = (
    r"(?P<head>(?i:\b(?:phone|tel|telephone|mobile|cell|sms|fax|whatsapp|msisdn"
    r"|call)[ _]?(?:no|number|to|is)?[\"']?\W{1,4}(?:to )?))"
    r"(?P<number>\(?\+?\d[\d ().-]{6,18}\d)(?![\w]|\.\d)"
)


def _hide_phone(found: re.Match[str]) -> str:
    digits = sum(c.isdigit() for c in found[0])
    return "[phone]" if 8 <= digits <= 15 else found[0]  # noqa: PLR2004 - E.164


# What only looks like a secret --------------------------------------------------------------------

_LONG_HEX = r"(?<![A-Za-z0-9])(?:0[xX])?[0-9a-fA-F]{32,}(?![A-Za-z0-9])"
_OPAQUE = r"(?<![A-Za-z0-9_+/=~-])[A-Za-z0-9_+/=~-]{20,}+"
_OPAQUE_PART_CHARS_MIN = 20
_OPAQUE_MIXED_MIN = 3
_BASE64_CHARS_MIN = 40


def _hide_opaque(found: re.Match[str]) -> str:
    word = found[0]
    if word.startswith(("_Z", "__Z", "_R", "0x")) or word.strip("=-_~+/").isdigit():
        return word
    return "[token]" if _is_opaque(word) else word


def _is_opaque(word: str) -> bool:
    """Tell a token from a long name, a path or a rule of dashes."""
    parts = rx(r"[^A-Za-z0-9]+").split(word)
    if any(
        len(part) >= _OPAQUE_PART_CHARS_MIN and _mixed(part) >= _OPAQUE_MIXED_MIN for part in parts
    ):
        return True
    if len(word) < _BASE64_CHARS_MIN:
        return "-" not in word and "/" not in word and _is_shuffled(word)
    return _mixed(word) >= _OPAQUE_MIXED_MIN and _is_shuffled(word)


def _is_shuffled(word: str) -> bool:
    """Tell random letters by their case: more changes than words in camel case have."""
    letters = rx(r"[^A-Za-z]+").sub("", word)
    flips = len(rx(r"[a-z][A-Z]").findall(letters))
    lone = len(rx(r"(?<=[A-Z])[a-z]{1,2}(?=[A-Z]|\Z)").findall(letters))
    return len(letters) >= 16 and flips * 6 >= len(letters) and lone * 10 >= len(letters)  # noqa: PLR2004


_AFTER_KEYWORD = (
    r"(?P<head>(?i:\b(?:key|token|secret|credential|signature|licen[sc]e|bearer|pat|apikey"
    r"|password|nonce|session)s?)[\"']?[ \t:=#(]{1,3}[\"']?)"
    r"(?P<value>[\w.~+/=:|$!%-]{12,4096}+)"
)


def _hide_after_keyword(found: re.Match[str]) -> str:
    return f"{found['head']}[token]" if _looks_random(found["value"]) else found[0]


_DIGIT_NEEDS = tuple("0123456789")
_VALUE_NEEDS = ("val", "content", "data", "default")

RULES: Final[tuple[Rule, ...]] = (
    Rule("private_key", _replacing(_PEM, "[key]"), ("private key",)),
    Rule("private_key_tail", _replacing(_PEM_TAIL, "[key]"), ("private key",)),
    Rule("putty_key", _replacing(_PUTTY, "[key]"), ("putty-user-key", "private-lines")),
    Rule("jwt", _replacing(_JWT, "[jwt]"), ("eyj",)),
    Rule("oracle", _replacing(_ORACLE, r"\1[secret]"), ("jdbc:oracle",)),
    Rule("url", _asking(_URL, _shorten_url), (":/", ":\\/")),
    Rule("vendor", _hide_vendor_tokens),
    Rule("authorization", _asking(_HEADER, _hide_authorization, re.IGNORECASE), ("authori",)),
    Rule("cookie", _asking(_COOKIE, _hide_cookies, re.IGNORECASE), ("cookie",)),
    Rule("bearer", _asking(_BEARER, _hide_bearer), ("bearer", "basic", "negotiate", "ntlm")),
    Rule("user_password", _asking(_USER_LOGIN, _hide_user_password), (" -", "-u", "--")),
    Rule("command_password", _replacing(_COMMAND_LOGIN, r"\1\2[secret]"), (" -", " /user")),
    Rule("sql_password", _replacing(_SQL_LOGIN, r"\1[secret]"), (" by", "password")),
    Rule("netrc", _replacing(_NETRC, r"\1[secret]"), ("login",)),
    Rule("sql_values", _asking(_SQL_VALUES, _hide_sql_values), ("into",)),
    Rule("redis_auth", _asking(_REDIS_AUTH, _hide_redis_auth), ("redis",)),
    Rule("pgpass", _asking(_PGPASS, _hide_pgpass), (":",)),
    Rule("mnemonic", _asking(_MNEMONIC, _hide_mnemonic), ("mnemonic", "phrase", "words")),
    Rule("table", _asking(_TABLE, _hide_table), ("|", "\u2502")),
    Rule("name_value", _asking(_NAME_VALUE, _hide_named_value), _VALUE_NEEDS),
    Rule("value_name", _asking(_VALUE_NAME, _hide_named_value), _VALUE_NEEDS),
    Rule("key_value", _hide_values),
    Rule("userinfo", _replacing(_USERINFO, "[secret]@"), ("@",)),
    Rule("login_at_host", _replacing(_LOGIN_AT, r"\g<head>[user]"), ("@",)),
    Rule("email", _replacing(_EMAIL, "[email]"), ("@", "%40", "\uff20")),
    Rule("spelled_email", _replacing(_SPELLED_EMAIL, "[email]"), ("at]", "at)", "at}")),
    Rule("after_keyword", _asking(_AFTER_KEYWORD, _hide_after_keyword), _DIGIT_NEEDS),
    Rule("quoted_path", _asking(_QUOTED_PATH, _shorten_quoted), ("/", "\\")),
    Rule("windows_path", _asking(_WINDOWS, _shorten_path), (":\\", ":/", "\\\\", "\\")),
    Rule("posix_path", _asking(_POSIX, _shorten_path), ("/",)),
    Rule("bare_home", _asking(_BARE_HOME, _shorten_path), ("home", "users")),
    Rule("encoded_home", _replacing(_ENCODED_HOME, "[path]"), ("%2f", "%5c")),
    Rule("dashed_home", _replacing(_DASHED_HOME, "[path]"), ("-home-", "-users-")),
    Rule("ipv4", _asking(_IPV4, _hide_ipv4), (".",)),
    Rule("mac", _replacing(_MAC, "[id]"), (":", "-", ".")),
    Rule("ipv6", _asking(_IPV6, _hide_ipv6), (":",)),
    Rule("aws_host", _replacing(_AWS_HOST, "[ip]"), ("ip-", "ec2-")),
    Rule("card", _asking(_CARD, _hide_card), _DIGIT_NEEDS),
    Rule("ssn", _replacing(_SSN, "[id]"), ("-", "ssn")),
    Rule("iban", _asking(_IBAN, _hide_iban), _DIGIT_NEEDS),
    Rule("phone", _asking(_PHONE, _hide_phone), _DIGIT_NEEDS),
    Rule("phone_after_word", _replacing(_PHONE_AFTER_WORD, r"\g<head>[phone]"), _DIGIT_NEEDS),
    Rule("long_hex", _replacing(_LONG_HEX, "[hash]")),
    Rule("opaque", _asking(_OPAQUE, _hide_opaque)),
)


def without_cards(given: str) -> str:
    """Return the text with card numbers hidden."""
    return rx(_CARD).sub(_hide_card, given)


def names_itself(word: str) -> bool:
    """Tell whether a word is a token, an address or a card number, wherever it stands."""
    return bool(
        rx(_JWT).search(word)
        or _vendor().search(word)
        or rx(_IPV4).sub(_hide_ipv4, word) != word
        or rx(_PGPASS).sub(_hide_pgpass, word) != word
        or without_cards(word) != word
    )
