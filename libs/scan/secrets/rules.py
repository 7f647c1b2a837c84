"""What secrets look like. Every repetition is bounded and every pattern starts with a word, so time is linear."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from libs.scan.severity import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of secret. A file without one of the words is not looked at; group 1 of the pattern is the secret."""

    name: str
    title: str
    severity: Severity
    # Lower case; looked for in the lower-cased file.
    words: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    # Letters of the secret that only name its kind, and may be shown.
    shown: int = 4
    # Bits of entropy per letter that a real one has.
    entropy: float = 0.0
    # A password in an address: judged by what people write for a placeholder.
    address: bool = False


def _rule(
    name: str,
    title: str,
    severity: Severity,
    words: str,
    pattern: str,
    *,
    shown: int = 4,
    entropy: float = 0.0,
    address: bool = False,
) -> Rule:
    compiled = re.compile(pattern.encode())
    return Rule(name, title, severity, tuple(words.lower().encode().split()), compiled, shown, entropy, address)


_C, _H, _M = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM
# Not inside a longer word: base64 of a picture holds every short prefix sooner or later.
_B: Final = r"(?<![A-Za-z0-9+/=_-])"
_E: Final = r"(?![A-Za-z0-9_-])"
_KEY: Final = r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
RULES: Final = (
    _rule(
        "aws-access-key",
        "AWS access key",
        _H,
        "akia asia abia acca",
        _B + r"((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})" + _E,
        entropy=2.8,
    ),
    _rule(
        "aws-secret-key",
        "AWS secret key",
        _C,
        "secret_access_key secretaccesskey secretkey secret_key",
        r"(?i:secret_?(?:access_?)?key)[\"']{0,1}[ \t]{0,8}[:=]{1,2}>?[ \t]{0,8}[\"']?"
        r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        shown=0,
        entropy=4.2,
    ),
    _rule(
        "github-token",
        "GitHub token",
        _C,
        "ghp_ gho_ ghu_ ghs_ ghr_",
        _B + r"(gh[pousr]_[A-Za-z0-9]{36,255})" + _E,
        entropy=3.0,
    ),
    _rule(
        "github-token",
        "GitHub token",
        _C,
        "github_pat_",
        _B + r"(github_pat_[A-Za-z0-9_]{50,255})" + _E,
        shown=11,
        entropy=3.0,
    ),
    _rule(
        "gitlab-token",
        "GitLab token",
        _C,
        "glpat- gldt- glrt- glptt- glft- glsoat- glcbt- glimt- glagent-",
        _B + r"(gl(?:pat|dt|rt|ptt|ft|soat|cbt|imt|agent)-[A-Za-z0-9_.-]{20,300})" + _E,
        shown=6,
        entropy=3.0,
    ),
    _rule(
        "slack-token",
        "Slack token",
        _C,
        "xoxb- xoxp- xoxa- xoxe- xoxo- xoxr- xoxs-",
        _B + r"(xox[abeoprs]-[A-Za-z0-9-]{24,300})" + _E,
        shown=5,
        entropy=2.8,
    ),
    _rule(
        "slack-token",
        "Slack app token",
        _C,
        "xapp-",
        _B + r"(xapp-\d-[A-Z0-9]{8,20}-\d{8,20}-[a-z0-9]{32,100})" + _E,
        shown=5,
        entropy=2.8,
    ),
    _rule(
        "slack-webhook",
        "Slack webhook",
        _H,
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(T[A-Z0-9]{6,14}/[A-Za-z0-9/]{20,90})",
        shown=2,
        entropy=3.0,
    ),
    _rule(
        "stripe-key",
        "Stripe live key",
        _C,
        "sk_live_ rk_live_",
        _B + r"([rs]k_live_[A-Za-z0-9]{16,250})" + _E,
        shown=8,
        entropy=2.8,
    ),
    _rule(
        "stripe-test-key",
        "Stripe test key",
        _M,
        "sk_test_ rk_test_",
        _B + r"([rs]k_test_[A-Za-z0-9]{16,250})" + _E,
        shown=8,
        entropy=2.8,
    ),
    _rule(
        "stripe-webhook",
        "Stripe webhook secret",
        _H,
        "whsec_",
        _B + r"(whsec_[A-Za-z0-9+/=]{32,100})",
        shown=6,
        entropy=3.0,
    ),
    _rule("npm-token", "npm token", _C, "npm_", _B + r"(npm_[A-Za-z0-9]{36})" + _E, entropy=3.0),
    _rule(
        "npm-token",
        "npm registry token",
        _C,
        "_authtoken _auth",
        r":_auth(?:Token)?[ \t]{0,8}=[ \t]{0,8}[\"']?([A-Za-z0-9+/=._-]{16,300})",
        shown=0,
        entropy=3.0,
    ),
    _rule(
        "pypi-token",
        "PyPI token",
        _C,
        "pypi-ageicHlwaS5vcmc pypi-agendgvzdc5wexbplm9yzw".lower(),
        _B + r"(pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{40,400})",
        shown=5,
        entropy=3.0,
    ),
    _rule("google-api-key", "Google API key", _H, "aiza", _B + r"(AIza[A-Za-z0-9_-]{35})" + _E, entropy=3.0),
    _rule(
        "google-oauth-secret",
        "Google OAuth client secret",
        _C,
        "gocspx-",
        _B + r"(GOCSPX-[A-Za-z0-9_-]{28})" + _E,
        shown=7,
        entropy=3.0,
    ),
    _rule(
        "sendgrid-key",
        "SendGrid key",
        _C,
        "sg.",
        _B + r"(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})" + _E,
        shown=3,
        entropy=3.5,
    ),
    _rule(
        "openai-key",
        "OpenAI key",
        _C,
        "t3blbkfj",
        _B + r"(sk-[A-Za-z0-9_-]{16,110}T3BlbkFJ[A-Za-z0-9_-]{16,110})" + _E,
        shown=3,
        entropy=3.5,
    ),
    _rule(
        "anthropic-key",
        "Anthropic key",
        _C,
        "sk-ant-",
        _B + r"(sk-ant-[a-z]{2,10}[0-9]{2}-[A-Za-z0-9_-]{80,120})" + _E,
        shown=7,
        entropy=3.5,
    ),
    _rule("huggingface-token", "Hugging Face token", _C, "hf_", _B + r"(hf_[A-Za-z]{34})" + _E, shown=3, entropy=3.5),
    _rule(
        "digitalocean-token",
        "DigitalOcean token",
        _C,
        "dop_v1_ doo_v1_ dor_v1_",
        _B + r"(do[opr]_v1_[a-f0-9]{64})" + _E,
        shown=7,
        entropy=3.0,
    ),
    _rule(
        "docker-token",
        "Docker Hub token",
        _C,
        "dckr_pat_ dckr_oat_",
        _B + r"(dckr_[po]at_[A-Za-z0-9_-]{27,60})" + _E,
        shown=9,
        entropy=3.0,
    ),
    _rule(
        "shopify-token",
        "Shopify token",
        _C,
        "shpat_ shpca_ shppa_ shpss_",
        _B + r"(shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})" + _E,
        shown=6,
        entropy=2.8,
    ),
    _rule("vault-token", "Vault token", _C, "hvs. hvb.", _B + r"(hv[sb]\.[A-Za-z0-9_-]{24,300})" + _E, entropy=3.5),
    _rule(
        "azure-storage-key",
        "Azure storage key",
        _C,
        "accountkey=",
        r"(?i:AccountKey)=([A-Za-z0-9+/]{86}==)",
        shown=0,
        entropy=4.0,
    ),
    _rule(
        "private-key",
        "private key",
        _C,
        "private key",
        _KEY
        + r"((?:[\s\"'+,]|\\r|\\n){0,12}(?:[A-Za-z-]{3,20}: [^\r\n]{1,200}[\r\n]{1,4}){0,4}\s{0,4}[A-Za-z0-9+/]{40})",
        shown=0,
    ),
    _rule(
        "jwt",
        "JSON web token",
        _M,
        "eyj",
        _B + r"(eyJ[A-Za-z0-9_-]{12,2000}\.eyJ[A-Za-z0-9_-]{12,4000}\.[A-Za-z0-9_-]{24,2000})",
        shown=3,
        entropy=3.5,
    ),
    _rule(
        "password-in-address",
        "password in an address",
        _H,
        "://",
        r"(?<=[A-Za-z0-9])://[A-Za-z0-9._%+-]{0,80}:([^\s:/@\"'`<>{}\[\]|\\,;]{4,200})"
        r"@[A-Za-z0-9\[][A-Za-z0-9._\]-]{0,250}",
        shown=0,
        address=True,
    ),
)
