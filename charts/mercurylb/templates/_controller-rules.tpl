{{/* What the controller may do in the cluster, and in its own namespace. */}}

{{- define "mercurylb.controllerClusterRules" -}}
# What asks for an address, and the namespaces that pools may be tied to.
- apiGroups: [""]
  resources: ["services", "namespaces"]
  verbs: ["list", "watch"]
- apiGroups: [""]
  resources: ["services/status"]
  verbs: ["patch"]
- apiGroups: [""]
  resources: ["events"]
  verbs: ["create", "patch"]
{{- if include "mercurylb.hasWebhooks" . }}
# The selectors of peers and advertisements are checked against the nodes that exist.
- apiGroups: [""]
  resources: ["nodes"]
  verbs: ["list"]
# The two objects that name the authority of the webhooks' certificate; never any other.
- apiGroups: ["admissionregistration.k8s.io"]
  resources: ["validatingwebhookconfigurations"]
  resourceNames: ["metallb-webhook-configuration"]
  verbs: ["list", "patch", "watch"]
- apiGroups: ["apiextensions.k8s.io"]
  resources: ["customresourcedefinitions"]
  resourceNames: ["bgppeers.metallb.io"]
  verbs: ["list", "patch", "watch"]
{{- end }}
# Whoever scrapes the metrics is asked who he is and whether he may.
- apiGroups: ["authentication.k8s.io"]
  resources: ["tokenreviews"]
  verbs: ["create"]
- apiGroups: ["authorization.k8s.io"]
  resources: ["subjectaccessreviews"]
  verbs: ["create"]
{{- end -}}

{{- define "mercurylb.controllerRules" -}}
# Its own pod, which owns what the controller creates.
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["get"]
# Which of several replicas acts. Creation knows no names.
- apiGroups: ["coordination.k8s.io"]
  resources: ["leases"]
  verbs: ["create"]
- apiGroups: ["coordination.k8s.io"]
  resources: ["leases"]
  resourceNames: ["mercurylb-controller", "mercurylb-webhook"]
  verbs: ["get", "list", "patch", "watch"]
{{- if include "mercurylb.hasMemberlist" . }}
# The speakers' key: created when it is missing, and given a second owner where it would go with a
# Deployment that is being replaced; never read or changed.
- apiGroups: [""]
  resources: ["secrets"]
  verbs: ["create"]
- apiGroups: [""]
  resources: ["secrets"]
  resourceNames: [{{ include "mercurylb.memberlistSecret" . | quote }}]
  verbs: ["list", "patch"]
- apiGroups: ["apps"]
  resources: ["deployments"]
  resourceNames: ["{{ include "mercurylb.fullname" . }}-controller"]
  verbs: ["get"]
{{- end }}
- apiGroups: ["metallb.io"]
  resources: ["ipaddresspools", "communities"]
  verbs: ["list", "watch"]
- apiGroups: ["metallb.io"]
  resources: ["ipaddresspools/status"]
  verbs: ["patch"]
# Whether the configuration was accepted.
- apiGroups: ["metallb.io"]
  resources: ["configurationstates"]
  verbs: ["create", "list", "patch", "watch"]
- apiGroups: ["metallb.io"]
  resources: ["configurationstates/status"]
  verbs: ["patch"]
{{- if include "mercurylb.hasWebhooks" . }}
# What a new object is checked together with.
- apiGroups: ["metallb.io"]
  resources: ["bfdprofiles", "bgpadvertisements", "bgppeers"]
  verbs: ["list"]
# The webhooks' certificate.
- apiGroups: [""]
  resources: ["secrets"]
  resourceNames: ["metallb-webhook-cert"]
  verbs: ["list", "patch", "watch"]
{{- end }}
{{- end -}}
