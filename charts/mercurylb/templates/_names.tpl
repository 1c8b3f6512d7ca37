{{/*
Names and labels.

Everything is named as if the chart were called "metallb", so that tools, dashboards and
network policies written for MetalLB find the same objects, and so that a release of
MetalLB's chart can be upgraded in place: the selectors stay what they were.
*/}}

{{- define "mercurylb.name" -}}
{{- .Values.nameOverride | default "metallb" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A release that bears the name of either product is the full name itself. */}}
{{- define "mercurylb.fullname" -}}
{{- $name := .Values.nameOverride | default "metallb" -}}
{{- $isPlain := or (contains $name .Release.Name) (contains .Chart.Name .Release.Name) -}}
{{- $derived := ternary .Release.Name (printf "%s-%s" .Release.Name $name) $isPlain -}}
{{- .Values.fullnameOverride | default $derived | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mercurylb.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mercurylb.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mercurylb.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "mercurylb.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/*
Selector labels of a component; takes a dictionary of root and component. In the shadow of another
load balancer they are such that its speakers and Services do not take our pods for theirs.
*/}}
{{- define "mercurylb.componentSelector" -}}
{{ include "mercurylb.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}{{ ternary "-shadow" "" .root.Values.shadow }}
{{- end -}}

{{/* Service account of a component; takes a dictionary of root and component. */}}
{{- define "mercurylb.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- $own := printf "%s-%s" (include "mercurylb.fullname" .root) .component -}}
{{- $account.name | default (ternary $own "default" $account.create) -}}
{{- end -}}

{{/* Secret with the key that speakers use among themselves; the controller creates it. */}}
{{- define "mercurylb.memberlistSecret" -}}
{{- .Values.speaker.secretName | default (printf "%s-memberlist" (include "mercurylb.fullname" .)) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* "yes" when speakers form a member list, and so need its secret. */}}
{{- define "mercurylb.hasMemberlist" -}}
{{- if and .Values.speaker.enabled .Values.speaker.memberlist.enabled (not .Values.shadow) -}}yes{{- end -}}
{{- end -}}

{{/* "yes" when the list of excluded interfaces belongs to the release. */}}
{{- define "mercurylb.hasExcludedInterfaces" -}}
{{- if and .Values.speaker.enabled .Values.speaker.excludeInterfaces.enabled (not .Values.shadow) -}}yes{{- end -}}
{{- end -}}

{{/* "yes" when the controller answers the API server's webhooks; never in the shadow of another. */}}
{{- define "mercurylb.hasWebhooks" -}}
{{- if and .Values.controller.enabled (not .Values.shadow) (ne (toString .Values.controller.webhookMode) "disabled") -}}yes{{- end -}}
{{- end -}}

{{/*
Rules of a role; takes a dictionary of root and rules, the template that has them. In the shadow of
another load balancer nothing is written, so only rights to read remain, and to ask who scrapes.
*/}}
{{- define "mercurylb.rules" -}}
{{- $text := include .rules .root -}}
{{- if .root.Values.shadow -}}
{{- $kept := list -}}
{{- range $rule := fromYamlArray $text -}}
{{- $verbs := list -}}
{{- range $verb := $rule.verbs -}}
{{- if or (has $verb (list "get" "list" "watch")) (has "tokenreviews" $rule.resources) (has "subjectaccessreviews" $rule.resources) -}}
{{- $verbs = append $verbs $verb -}}
{{- end -}}
{{- end -}}
{{- if $verbs -}}
{{- $kept = append $kept (set (deepCopy $rule) "verbs" $verbs) -}}
{{- end -}}
{{- end -}}
{{- toYaml $kept -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}
