{{/*
Names and labels.

Everything is named as if the chart were called "metallb", so that tools, dashboards and
network policies written for MetalLB find the same objects, and so that a release of
MetalLB's chart can be upgraded in place: the selectors stay what they were.
*/}}

{{- define "mercurylb.name" -}}
{{- .Values.nameOverride | default "metallb" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mercurylb.fullname" -}}
{{- $name := .Values.nameOverride | default "metallb" -}}
{{- $derived := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
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
{{- if and .Values.speaker.enabled .Values.speaker.memberlist.enabled -}}yes{{- end -}}
{{- end -}}

{{/* "yes" when the controller answers the API server's webhooks. */}}
{{- define "mercurylb.hasWebhooks" -}}
{{- if and .Values.controller.enabled (ne (toString .Values.controller.webhookMode) "disabled") -}}yes{{- end -}}
{{- end -}}
