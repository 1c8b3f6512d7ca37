{{- define "frrk8s.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "frrk8s.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $derived := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $derived | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "frrk8s.selectorLabels" -}}
app.kubernetes.io/name: {{ include "frrk8s.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "frrk8s.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "frrk8s.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Labels of a workload; takes a dictionary of root and component. */}}
{{- define "frrk8s.workloadLabels" -}}
{{- $own := fromYaml (include "frrk8s.labels" .root) -}}
{{- $own = merge (dict "app.kubernetes.io/component" .component) $own -}}
{{- toYaml (merge $own (.root.Values.frrk8s.labels | default dict)) -}}
{{- end -}}

{{- define "frrk8s.serviceAccountName" -}}
{{- $account := .Values.frrk8s.serviceAccount -}}
{{- $own := printf "%s-controller" (include "frrk8s.fullname" .) -}}
{{- $account.name | default (ternary $own "default" $account.create) -}}
{{- end -}}

{{/* An image and when it is pulled; takes a dictionary of root and image. */}}
{{- define "frrk8s.image" -}}
{{- $registry := ((.root.Values.global).imageRegistry) | default "" | trimSuffix "/" -}}
{{- $repository := .image.repository -}}
{{- $first := splitList "/" $repository | first -}}
{{- $isHost := and (contains "/" $repository) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- $prefix := ternary "" (printf "%s/" $registry) (or $isHost (not $registry)) -}}
image: {{ printf "%s%s:%s" $prefix $repository (toString (.image.tag | default .root.Chart.AppVersion)) | quote }}
{{- with .image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{- define "frrk8s.tlsArgs" -}}
{{- with .Values.tls.cipherSuites }}
- --tls-cipher-suites={{ . }}
{{- end }}
{{- with .Values.tls.curvePreferences }}
- --tls-curve-preferences={{ . }}
{{- end }}
{{- with .Values.tls.minVersion }}
- --tls-min-version={{ . }}
{{- end }}
{{- end -}}
