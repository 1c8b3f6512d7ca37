{{/* What the objects of the Prometheus operator have in common. */}}

{{/* A number counts seconds. */}}
{{- define "mercurylb.interval" -}}
{{- if kindIs "string" . -}}{{ . }}{{- else -}}{{ int . }}s{{- end -}}
{{- end -}}

{{/*
One endpoint of a monitor; takes a dictionary of monitor (its values), tlsConfig and port (its
name). Whoever writes it says how to authenticate.
*/}}
{{- define "mercurylb.endpoint" -}}
port: {{ .port }}
path: /metrics
scheme: https
honorLabels: true
{{- with .monitor.interval }}
interval: {{ include "mercurylb.interval" . | quote }}
{{- end }}
{{- with .tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Names of a component's ports with metrics; takes a dictionary of root and component. */}}
{{- define "mercurylb.metricsPorts" -}}
{{- $ports := dict "metricshttps" (int .root.Values.prometheus.metricsPort) -}}
{{- if and (eq .component "speaker") (include "mercurylb.hasFrr" .root) -}}
{{- $_ := set $ports "frrmetricshttps" (int .root.Values.speaker.frr.metricsPort) -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}
