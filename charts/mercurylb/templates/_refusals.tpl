{{/*
Refuses values that ask for something this chart does not do, all of them at once.

A value that would silently have no effect is worse than an installation that does not
start: whoever set it believes that it works.
*/}}
{{- define "mercurylb.refusals" -}}
{{- $v := .Values -}}
{{- $problems := list -}}

{{- if $v.frrk8s.enabled -}}
{{- $problems = append $problems "frrk8s.enabled: frr-k8s is no part of this chart; set it to false and BGP is left to the speaker itself (the native backend), or install frr-k8s and set frrk8s.external and frrk8s.namespace" -}}
{{- end -}}
{{- if and $v.frrk8s.external (not $v.frrk8s.namespace) -}}
{{- $problems = append $problems "frrk8s.external: needs frrk8s.namespace, where frr-k8s is installed" -}}
{{- end -}}
{{- if and $v.speaker.frr.enabled $v.frrk8s.external -}}
{{- $problems = append $problems "speaker.frr.enabled, frrk8s.external: only one of them can speak BGP; set one to false" -}}
{{- end -}}
{{- if and $v.frrk8s.external (not $v.speaker.enabled) -}}
{{- $problems = append $problems "frrk8s.external: needs speaker.enabled=true, which tells frr-k8s what to announce" -}}
{{- end -}}
{{- range $monitor := list "podMonitor" "serviceMonitor" "prometheusRule" -}}
{{- if (index $v.prometheus $monitor).enabled -}}
{{- $problems = append $problems (printf "prometheus.%s.enabled: not supported yet; set it to false, and use prometheus.scrapeAnnotations or an object of your own" $monitor) -}}
{{- end -}}
{{- end -}}
{{- if or $v.networkpolicies.enabled $v.networkpolicies.defaultDeny -}}
{{- $problems = append $problems "networkpolicies.enabled, networkpolicies.defaultDeny: not supported yet; set both to false and apply policies of your own" -}}
{{- end -}}
{{- if hasKey $v "configInline" -}}
{{- $problems = append $problems "configInline: configuration is made of custom resources (IPAddressPool, L2Advertisement, BGPAdvertisement, BGPPeer); remove it" -}}
{{- end -}}
{{- if and $v.speaker.enabled (not $v.speaker.memberlist.enabled) $v.speaker.nodeSelector -}}
{{- $problems = append $problems "speaker.nodeSelector: needs speaker.memberlist.enabled=true, because without a member list every node counts as one that runs a speaker" -}}
{{- end -}}

{{- with $problems -}}
{{- fail (printf "\n\nThese values cannot be honoured:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- end -}}
