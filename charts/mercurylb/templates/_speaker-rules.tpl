{{/* What the speaker may do in the cluster, and in its own namespace. */}}

{{- define "mercurylb.speakerClusterRules" -}}
# Speakers only read Services: their status belongs to the controller.
- apiGroups: [""]
  resources: ["services", "nodes", "namespaces"]
  verbs: ["list", "watch"]
- apiGroups: ["discovery.k8s.io"]
  resources: ["endpointslices"]
  verbs: ["list", "watch"]
- apiGroups: [""]
  resources: ["events"]
  verbs: ["create", "patch"]
# Who announces what, and whether the configuration was accepted. We look in our own namespace only;
# MetalLB's speakers, which run under this role while a cluster is moved node by node, look in all,
# and one that is started again would announce nothing without it.
- apiGroups: ["metallb.io"]
  resources: ["configurationstates", "servicel2statuses"]
  verbs: ["list", "watch"]
{{- if include "mercurylb.hasFrrK8s" . }}
# What frr-k8s is to announce, and what it says of its sessions.
- apiGroups: ["frrk8s.metallb.io"]
  resources: ["frrconfigurations"]
  verbs: ["create", "list", "update", "watch"]
- apiGroups: ["frrk8s.metallb.io"]
  resources: ["bgpsessionstates"]
  verbs: ["list", "watch"]
{{- end }}
# Whoever scrapes the metrics is asked who he is and whether he may.
- apiGroups: ["authentication.k8s.io"]
  resources: ["tokenreviews"]
  verbs: ["create"]
- apiGroups: ["authorization.k8s.io"]
  resources: ["subjectaccessreviews"]
  verbs: ["create"]
{{- end -}}

{{- define "mercurylb.speakerRules" -}}
# Its own pod, and the other speakers'. MetalLB lists them every few minutes; watching them,
# which it has no right to, is how a speaker here learns of a new or departed one at once.
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["get", "list", "watch"]
# Passwords of BGP peers.
- apiGroups: [""]
  resources: ["secrets"]
  verbs: ["list", "watch"]
# Extra configuration of an FRR backend. We look at bgpextras only; MetalLB's speakers, as above, at
# all.
- apiGroups: [""]
  resources: ["configmaps"]
  verbs: ["list", "watch"]
- apiGroups: ["metallb.io"]
  resources:
    - bfdprofiles
    - bgpadvertisements
    - bgppeers
    - communities
    - ipaddresspools
    - l2advertisements
  verbs: ["list", "watch"]
# Who announces what; and, as an annotation, who else claims the address.
- apiGroups: ["metallb.io"]
  resources: ["servicel2statuses"]
  verbs: ["create", "delete", "patch"]
- apiGroups: ["metallb.io"]
  resources: ["servicel2statuses/status"]
  verbs: ["patch"]
# Which peers are told of what, and how the sessions with them stand.
- apiGroups: ["metallb.io"]
  resources: ["servicebgpstatuses"]
  verbs: ["create", "delete", "list", "patch", "watch"]
- apiGroups: ["metallb.io"]
  resources: ["servicebgpstatuses/status"]
  verbs: ["patch"]
- apiGroups: ["mercurylb.io"]
  resources: ["bgpsessions"]
  verbs: ["create", "delete", "list", "patch", "watch"]
- apiGroups: ["mercurylb.io"]
  resources: ["bgpsessions/status"]
  verbs: ["patch"]
# Whether the configuration was accepted.
- apiGroups: ["metallb.io"]
  resources: ["configurationstates"]
  verbs: ["create", "patch"]
- apiGroups: ["metallb.io"]
  resources: ["configurationstates/status"]
  verbs: ["patch"]
{{- end -}}
