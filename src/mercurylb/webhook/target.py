"""The two objects in which the API server reads whom it may trust: narrow structs and patches.

* ValidatingWebhookConfiguration `metallb-webhook-configuration`, each of its webhooks;
* CustomResourceDefinition `bgppeers.metallb.io`, if a webhook converts it.

Both are applied server-side under the field owner `MetalLB`, as the original's are, and only the
`caBundle` fields: whoever installs the objects does not meet us in any other field. The resource
version goes along, so a patch never lands on something else than what was looked at.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.api.meta import ObjectMeta
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.resource import Resource
from mercurylb.webhook.bundle import Bundle, decode_bundle, encode_bundle
from mercurylb.webhook.handover import Target

FIELD_OWNER: Final = "MetalLB"
CONFIGURATION_NAME: Final = "metallb-webhook-configuration"
DEFINITION_NAME: Final = "bgppeers.metallb.io"
_WEBHOOK: Final = "Webhook"


class ClientConfig(msgspec.Struct, frozen=True, rename="camel"):
    """How the API server reaches a webhook, as far as we have to know."""

    ca_bundle: str | None = None


class Webhook(msgspec.Struct, frozen=True, rename="camel"):
    """One webhook of a configuration."""

    name: str = ""
    client_config: ClientConfig = ClientConfig()


class WebhookConfiguration(msgspec.Struct, frozen=True, rename="camel"):
    """A ValidatingWebhookConfiguration."""

    metadata: ObjectMeta = ObjectMeta()
    webhooks: tuple[Webhook, ...] | None = None


class WebhookConversion(msgspec.Struct, frozen=True, rename="camel"):
    """The webhook that converts."""

    client_config: ClientConfig | None = None


class Conversion(msgspec.Struct, frozen=True, rename="camel"):
    """How a definition's versions are converted."""

    strategy: str = ""
    webhook: WebhookConversion | None = None


class DefinitionSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a definition that is about conversion."""

    conversion: Conversion | None = None


class Definition(msgspec.Struct, frozen=True, rename="camel"):
    """A CustomResourceDefinition."""

    metadata: ObjectMeta = ObjectMeta()
    spec: DefinitionSpec = DefinitionSpec()


CONFIGURATIONS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    WebhookConfiguration,
    namespaced=False,
)
DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    Definition,
    namespaced=False,
)

Watched = WebhookConfiguration | Definition


def target_of(item: Watched) -> Target:
    """Give what an object's `caBundle` fields hold."""
    texts = [config.ca_bundle or "" for config in _client_configs(item)]
    bundles = tuple(map(decode_bundle, texts))
    is_clean = all(
        encode_bundle(bundle) == text for bundle, text in zip(bundles, texts, strict=True)
    )
    return Target(bundles, is_clean)


def injection(item: Watched, bundle: Bundle) -> Operation:
    """Give the patch that makes every `caBundle` of an object be this one."""
    client_config = {"clientConfig": {"caBundle": encode_bundle(bundle)}}
    metadata = {"name": item.metadata.name, "resourceVersion": item.metadata.resource_version}
    parts: dict[str, object]
    resource: Resource[WebhookConfiguration] | Resource[Definition]
    if isinstance(item, WebhookConfiguration):
        resource = CONFIGURATIONS
        parts = {"webhooks": [{"name": hook.name, **client_config} for hook in item.webhooks or ()]}
    else:
        resource = DEFINITIONS
        parts = {"spec": {"conversion": {"webhook": client_config}}}
    body = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        **parts,
    }
    return Operation(
        Verb.APPLY, resource, item.metadata.name, body=encode(body), field_manager=FIELD_OWNER
    )


def _client_configs(item: Watched) -> list[ClientConfig]:
    if isinstance(item, WebhookConfiguration):
        return [hook.client_config for hook in item.webhooks or ()]
    conversion = item.spec.conversion
    if conversion is None or conversion.strategy != _WEBHOOK or conversion.webhook is None:
        return []
    return [conversion.webhook.client_config or ClientConfig()]
