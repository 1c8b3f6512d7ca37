{{/*
Parts that both pods have in common. Each takes a dictionary of root (the chart's context)
and component (controller or speaker).
*/}}

{{- define "mercurylb.image" -}}
{{- $image := (index .root.Values .component).image -}}
{{- $repository := $image.repository -}}
{{- $tag := $image.tag | default .root.Chart.AppVersion -}}
{{- if include "mercurylb.isForeignImage" . -}}
{{- $repository = include "mercurylb.ownRepository" .root -}}
{{- $tag = .root.Chart.AppVersion -}}
{{- end -}}
image: {{ include "mercurylb.imageName" (dict "root" .root "repository" $repository "tag" $tag) | quote }}
{{- with $image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: those that select them, and the user's own. */}}
{{- define "mercurylb.podLabels" -}}
{{ include "mercurylb.componentSelector" . }}
{{- range $key, $value := (index .root.Values .component).labels }}
{{ $key }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "mercurylb.podAnnotations" -}}
{{- $annotations := dict -}}
{{- with .root.Values.prometheus -}}
{{- if .scrapeAnnotations -}}
{{- $_ := set $annotations "prometheus.io/scrape" "true" -}}
{{- /* With FRR there are two ports to scrape, and an annotation names one. */ -}}
{{- if or (ne $.component "speaker") (not (include "mercurylb.hasFrr" $.root)) -}}
{{- $_ := set $annotations "prometheus.io/scheme" "https" -}}
{{- $_ := set $annotations "prometheus.io/port" (toString .metricsPort) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $annotations = merge (deepCopy ((index .root.Values .component).podAnnotations | default dict)) $annotations -}}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Arguments that both programs start with. */}}
{{- define "mercurylb.commonArgs" -}}
{{- $values := index .root.Values .component -}}
- --port={{ .root.Values.prometheus.metricsPort }}
- --health-probe-port={{ $values.livenessProbe.port }}
{{- with $values.logLevel }}
- --log-level={{ . }}
{{- end }}
{{- with .root.Values.loadBalancerClass }}
- --lb-class={{ . }}
{{- end }}
{{- end -}}

{{/* Arguments that both programs end with. */}}
{{- define "mercurylb.tlsArgs" -}}
{{- with .root.Values.tls.cipherSuites }}
- --tls-cipher-suites={{ . }}
{{- end }}
{{- with .root.Values.tls.curvePreferences }}
- --tls-curve-preferences={{ . }}
{{- end }}
{{- with .root.Values.tls.minVersion }}
- --tls-min-version={{ . }}
{{- end }}
{{- if include "mercurylb.metricsSecret" . }}
- --metrics-cert-dir=/etc/metrics
{{- end }}
{{- end -}}

{{/* Secret with the certificate of the metrics endpoint; nothing when it signs its own. */}}
{{- define "mercurylb.metricsSecret" -}}
{{- index .root.Values.tls (printf "%sMetricsTLSSecret" .component) -}}
{{- end -}}

{{/*
Liveness and readiness. The speaker shares the node's network and listens on the loopback
address only, so its probes name the host.
*/}}
{{- define "mercurylb.probes" -}}
{{- $root := . -}}
{{- $values := index .root.Values .component -}}
{{- range $kind, $path := dict "livenessProbe" "/healthz" "readinessProbe" "/readyz" }}
{{- with index $values $kind }}
{{- if .enabled }}
{{ $kind }}:
  httpGet:
    path: {{ $path }}
    port: {{ .port }}
    {{- if and (eq $root.component "speaker") (not $root.root.Values.shadow) }}
    host: 127.0.0.1
    {{- end }}
  initialDelaySeconds: {{ .initialDelaySeconds }}
  periodSeconds: {{ .periodSeconds }}
  timeoutSeconds: {{ .timeoutSeconds }}
  successThreshold: {{ .successThreshold }}
  failureThreshold: {{ .failureThreshold }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where the pod may run, and with which rank. */}}
{{- define "mercurylb.placement" -}}
{{- $values := index .root.Values .component -}}
nodeSelector:
  {{- toYaml (merge (deepCopy ($values.nodeSelector | default dict)) (dict "kubernetes.io/os" "linux")) | nindent 2 }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What a container of ours may do: nothing, but for the capabilities in add. */}}
{{- define "mercurylb.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
  {{- with .add }}
  add: {{ toJson . }}
  {{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Labels and hook of what only exists for a test; takes a dictionary of root and weight. */}}
{{- define "mercurylb.testMetadata" -}}
labels:
  {{- include "mercurylb.labels" .root | nindent 2 }}
  app.kubernetes.io/component: test
annotations:
  helm.sh/hook: test
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Capabilities of a speaker, as JSON; in the shadow of another one it touches no network. */}}
{{- define "mercurylb.speakerCapabilities" -}}
{{- $capabilities := list "NET_RAW" -}}
{{- if .Values.speaker.realTime -}}
{{- $capabilities = append $capabilities "SYS_NICE" -}}
{{- end -}}
{{- if and .Values.speaker.bgpListenPort (lt (int .Values.speaker.bgpListenPort) 1024) -}}
{{- $capabilities = append $capabilities "NET_BIND_SERVICE" -}}
{{- end -}}
{{- ternary list $capabilities .Values.shadow | toJson -}}
{{- end -}}
