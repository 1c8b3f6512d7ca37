{{/*
Where images come from.

The chart names no host: whoever installs says where images are, for all of them at once.
*/}}

{{/* An image in full; takes a dictionary of root, repository and tag. */}}
{{- define "mercurylb.imageName" -}}
{{- $registry := ((.root.Values.global).imageRegistry) | default "" | trimSuffix "/" -}}
{{- $first := splitList "/" .repository | first -}}
{{- $isHost := and (contains "/" .repository) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- $prefix := ternary "" (printf "%s/" $registry) (or $isHost (not $registry)) -}}
{{- printf "%s%s:%s" $prefix .repository (toString .tag) -}}
{{- end -}}

{{/* "yes" when an image of FRR or frr-k8s is asked for by a name without a registry. */}}
{{- define "mercurylb.lacksRegistry" -}}
{{- $repositories := list -}}
{{- if include "mercurylb.hasFrr" . -}}
{{- $repositories = append $repositories .Values.speaker.frr.image.repository -}}
{{- end -}}
{{- if and .Values.frrk8s.enabled (not .Values.shadow) -}}
{{- with (index .Values "frr-k8s").frrk8s -}}
{{- $repositories = concat $repositories (list .image.repository .frr.image.repository) -}}
{{- end -}}
{{- end -}}
{{- $lacks := "" -}}
{{- range $repositories -}}
{{- if eq (include "mercurylb.imageName" (dict "root" $ "repository" . "tag" "")) (printf "%s:" .) -}}
{{- $first := splitList "/" . | first -}}
{{- if not (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- $lacks = "yes" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $lacks -}}
{{- end -}}

{{- define "mercurylb.ownRepository" -}}
mercurylb/mercurylb
{{- end -}}

{{/*
"yes" when a component is to run MetalLB's image, as values written out from MetalLB's chart ask
for; takes a dictionary of root and component. Our arguments would mean nothing to its programs.
*/}}
{{- define "mercurylb.isForeignImage" -}}
{{- if regexMatch "(^|/)metallb[-/](controller|speaker)$" (index .root.Values .component).image.repository -}}yes{{- end -}}
{{- end -}}
