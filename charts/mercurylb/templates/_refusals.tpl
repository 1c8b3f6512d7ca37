{{/*
Refuses values that ask for something this chart does not do, all of them at once.

A value that would silently have no effect is worse than an installation that does not
start: whoever set it believes that it works.
*/}}
{{- define "mercurylb.refusals" -}}
{{- if not (or (hasKey .Values "shadow") (hasKey .Values "grafana")) -}}
{{- fail "\n\nThe values of another chart's release were taken over with --reuse-values, its defaults and images included.\nUse --reset-then-reuse-values, which takes over only what was set, or -f with a file of values.\n" -}}
{{- end -}}
{{- $names := .Files.Get "files/value-names.json" | fromJson -}}
{{- $unknown := include "mercurylb.unknown" (dict "names" $names "values" .Values "path" "") | trim -}}
{{- $problems := concat
  (ternary (splitList "\n" $unknown) list (ne $unknown ""))
  (include "mercurylb.backendProblems" .Values | fromJsonArray)
  (include "mercurylb.monitorProblems" .Values | fromJsonArray)
  (include "mercurylb.otherProblems" .Values | fromJsonArray)
  (include "mercurylb.lossProblems" . | fromJsonArray)
-}}
{{- with $problems -}}
{{- fail (printf "\n\nThese values cannot be honoured:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- end -}}

{{/* Who speaks BGP: at most one, and not without speakers. */}}
{{- define "mercurylb.backendProblems" -}}
{{- $problems := list -}}
{{- if and .frrk8s.enabled .frrk8s.external -}}
{{- $problems = append $problems "frrk8s.enabled, frrk8s.external: frr-k8s is either installed here or elsewhere; set one to false" -}}
{{- end -}}
{{- if and .frrk8s.enabled .shadow -}}
{{- $problems = append $problems "shadow, frrk8s.enabled: nothing is announced in the shadow of another load balancer, so nobody has to speak BGP; set frrk8s.enabled to false" -}}
{{- end -}}
{{- if and .frrk8s.external (not .frrk8s.namespace) -}}
{{- $problems = append $problems "frrk8s.external: needs frrk8s.namespace, where frr-k8s is installed" -}}
{{- end -}}
{{- if and .frrk8s.secretPassthrough (not .frrk8s.external) -}}
{{- $problems = append $problems "frrk8s.secretPassthrough: only has an effect with frrk8s.external=true; set it to false" -}}
{{- end -}}
{{- range $key := list "enabled" "external" -}}
{{- if index $.frrk8s $key -}}
{{- if $.speaker.frr.enabled -}}
{{- $problems = append $problems (printf "speaker.frr.enabled, frrk8s.%s: only one of them can speak BGP; set one to false" $key) -}}
{{- end -}}
{{- if not $.speaker.enabled -}}
{{- $problems = append $problems (printf "frrk8s.%s: needs speaker.enabled=true, which tells frr-k8s what to announce" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/*
What would be lost: without frr-k8s its definitions leave the release, and with them what users told
FRR themselves. The objects called metallb-<node> are the speakers'. Where no cluster is at hand,
as in `helm template`, nothing is found.
*/}}
{{- define "mercurylb.lossProblems" -}}
{{- $problems := list -}}
{{- if not .Values.frrk8s.enabled -}}
{{- $crd := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "frrconfigurations.frrk8s.metallb.io" -}}
{{- $marks := ((($crd).metadata).annotations) | default dict -}}
{{- if and (eq (get $marks "meta.helm.sh/release-name") .Release.Name) (eq (get $marks "meta.helm.sh/release-namespace") .Release.Namespace) -}}
{{- $own := list -}}
{{- range (lookup "frrk8s.metallb.io/v1beta1" "FRRConfiguration" "" "").items -}}
{{- if not (hasPrefix "metallb-" .metadata.name) -}}
{{- $own = append $own (printf "%s/%s" .metadata.namespace .metadata.name) -}}
{{- end -}}
{{- end -}}
{{- if $own -}}
{{- $problems = append $problems (printf "frrk8s.enabled: false removes frr-k8s and its definitions from this release, and with them your FRRConfigurations %s; set it to true, or save and delete them first" (join ", " $own)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/* What Prometheus needs to scrape. */}}
{{- define "mercurylb.monitorProblems" -}}
{{- $problems := list -}}
{{- $p := .prometheus -}}
{{- if and $p.podMonitor.enabled $p.serviceMonitor.enabled -}}
{{- $problems = append $problems "prometheus.podMonitor.enabled, prometheus.serviceMonitor.enabled: everything would be scraped twice; set one to false" -}}
{{- end -}}
{{- range $monitor := list "podMonitor" "serviceMonitor" -}}
{{- if (index $p $monitor).enabled -}}
{{- range $key := list "serviceAccount" "namespace" -}}
{{- if and $p.rbacPrometheus (not (index $p $key)) -}}
{{- $problems = append $problems (printf "prometheus.%s.enabled: needs prometheus.%s, of the Prometheus that scrapes; or set prometheus.rbacPrometheus to false" $monitor $key) -}}
{{- end -}}
{{- end -}}
{{- if not $p.metricsPort -}}
{{- $problems = append $problems (printf "prometheus.%s.enabled: there is nothing to scrape while prometheus.metricsPort is 0" $monitor) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "mercurylb.otherProblems" -}}
{{- $problems := list -}}
{{- if hasKey . "configInline" -}}
{{- $problems = append $problems "configInline: configuration is made of custom resources (IPAddressPool, L2Advertisement, BGPAdvertisement, BGPPeer); remove it, and see mercurylb migrate configmap" -}}
{{- end -}}
{{- if and .speaker.enabled (not .speaker.memberlist.enabled) .speaker.nodeSelector -}}
{{- $problems = append $problems "speaker.nodeSelector: needs speaker.memberlist.enabled=true, because without a member list every node counts as one that runs a speaker" -}}
{{- end -}}
{{- range $component := list "controller" "speaker" -}}
{{- with index $ $component -}}
{{- if and .enabled .readinessProbe.enabled (ne (int .readinessProbe.port) (int .livenessProbe.port)) -}}
{{- $problems = append $problems (printf "%s.readinessProbe.port: is %d, but health is served on %s.livenessProbe.port alone, which is %d; set both to one number" $component (int .readinessProbe.port) $component (int .livenessProbe.port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .speaker.enabled -}}
{{- $problems = concat $problems (include "mercurylb.portProblems" . | fromJsonArray) -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/* Speakers use the ports of their node, so each port has one use. */}}
{{- define "mercurylb.portProblems" -}}
{{- $ports := dict
  "prometheus.metricsPort" .prometheus.metricsPort
  "speaker.livenessProbe.port" .speaker.livenessProbe.port
-}}
{{- if .speaker.memberlist.enabled -}}
{{- $_ := set $ports "speaker.memberlist.mlBindPort" .speaker.memberlist.mlBindPort -}}
{{- end -}}
{{- if .speaker.bgpListenPort -}}
{{- $_ := set $ports "speaker.bgpListenPort" .speaker.bgpListenPort -}}
{{- end -}}
{{- if .speaker.frr.enabled -}}
{{- $_ := set $ports "speaker.frr.metricsPort" .speaker.frr.metricsPort -}}
{{- end -}}
{{- $uses := dict -}}
{{- range $key, $port := $ports -}}
{{- $number := toString (int $port) -}}
{{- $_ := set $uses $number (append (index $uses $number | default list) $key) -}}
{{- end -}}
{{- $problems := list -}}
{{- range $number, $keys := $uses -}}
{{- if and (gt (len $keys) 1) (ne $number "0") -}}
{{- $problems = append $problems (printf "%s: all are %s, and a port of the node has one use" (join ", " $keys) $number) -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}
