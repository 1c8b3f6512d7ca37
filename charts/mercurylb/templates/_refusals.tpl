{{/*
Refuses values that ask for something this chart does not do, all of them at once.

A value that would silently have no effect is worse than an installation that does not
start: whoever set it believes that it works.
*/}}
{{- define "mercurylb.refusals" -}}
{{- $v := .Values -}}
{{- $problems := list -}}

{{- if or $v.frrk8s.enabled $v.frrk8s.external -}}
{{- $problems = append $problems "frrk8s.enabled, frrk8s.external: BGP is left to the speaker itself (the native backend), frr-k8s is not supported yet; set both to false" -}}
{{- end -}}
{{- if $v.speaker.frr.enabled -}}
{{- $problems = append $problems "speaker.frr.enabled: BGP is left to the speaker itself (the native backend), there is no FRR container beside it; set it to false" -}}
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
