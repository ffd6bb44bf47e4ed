"""The source: AskNews' news and stories as typed records, and everything that can go wrong as one tree of errors."""

from flows.asknews.articles import Article, parse_articles
from flows.asknews.authentication import ApiKey, Authentication, ClientCredentials
from flows.asknews.client import AskNewsClient
from flows.asknews.errors import (
    AccessDenied,
    AskNewsError,
    ConnectionFailed,
    CredentialsRefused,
    GatewayAnswered,
    InvalidRequest,
    Misconfigured,
    MissingCredentials,
    PaymentRequired,
    PermanentError,
    RateLimited,
    RequestTimedOut,
    ResponseTooLarge,
    RetryableError,
    ServiceFailed,
    SubscriptionInactive,
    UnexpectedResponse,
)
from flows.asknews.from_settings import client_from_settings
from flows.asknews.pages import Page
from flows.asknews.records import Reject
from flows.asknews.stories import (
    RedditSentimentPoint,
    RedditThread,
    SentimentPoint,
    Story,
    StoryUpdate,
    parse_stories,
)

__all__ = [
    "AccessDenied",
    "ApiKey",
    "Article",
    "AskNewsClient",
    "AskNewsError",
    "Authentication",
    "ClientCredentials",
    "ConnectionFailed",
    "CredentialsRefused",
    "GatewayAnswered",
    "InvalidRequest",
    "Misconfigured",
    "MissingCredentials",
    "Page",
    "PaymentRequired",
    "PermanentError",
    "RateLimited",
    "RedditSentimentPoint",
    "RedditThread",
    "Reject",
    "RequestTimedOut",
    "ResponseTooLarge",
    "RetryableError",
    "SentimentPoint",
    "ServiceFailed",
    "Story",
    "StoryUpdate",
    "SubscriptionInactive",
    "UnexpectedResponse",
    "client_from_settings",
    "parse_articles",
    "parse_stories",
]
