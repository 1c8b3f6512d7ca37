{{/* Parts of the speaker's pod that are there when FRR speaks BGP for it. */}}

{{/* Value of METALLB_BGP_TYPE; empty is native. */}}
{{- define "mercurylb.bgpType" -}}
{{- if include "mercurylb.hasFrr" . -}}frr{{- else if include "mercurylb.hasFrrK8s" . -}}frr-k8s{{- end -}}
{{- end -}}

{{/* "yes" when FRR runs beside each speaker. */}}
{{- define "mercurylb.hasFrr" -}}
{{- if and .Values.speaker.frr.enabled (not .Values.shadow) -}}yes{{- end -}}
{{- end -}}

{{/* "yes" when frr-k8s speaks BGP: the one of this release, or another. */}}
{{- define "mercurylb.hasFrrK8s" -}}
{{- if or .Values.frrk8s.enabled .Values.frrk8s.external -}}yes{{- end -}}
{{- end -}}

{{- define "mercurylb.frrImage" -}}
{{- $image := .Values.speaker.frr.image -}}
image: {{ include "mercurylb.imageName" (dict "root" . "repository" $image.repository "tag" $image.tag) | quote }}
{{- with $image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{/* Resources of one of the containers, if any are asked for. */}}
{{- define "mercurylb.frrResources" -}}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "mercurylb.frrInitContainers" -}}
{{- $self := dict "root" . "component" "speaker" -}}
# FRR wants its files to belong to it.
- name: cp-frr-files
  {{- include "mercurylb.frrImage" . | nindent 2 }}
  securityContext:
    runAsUser: 100
    runAsGroup: 101
    allowPrivilegeEscalation: false
  command: ["/bin/sh", "-c", "cp -rLf /tmp/frr/* /etc/frr/"]
  volumeMounts:
    - name: frr-startup
      mountPath: /tmp/frr
    - name: frr-conf
      mountPath: /etc/frr
  {{- include "mercurylb.frrResources" .Values.speaker.initContainers.cpFrrFiles | nindent 2 }}
# FRR's image has the reloader's tools, and ours has the reloader.
- name: cp-reloader
  {{- include "mercurylb.image" $self | nindent 2 }}
  securityContext:
    {{- include "mercurylb.containerSecurity" (dict "add" list) | nindent 4 }}
  command: ["/usr/bin/mercurylb-frr-reloader", "--install", "/etc/frr_reloader/frr-reloader"]
  volumeMounts:
    - name: reloader
      mountPath: /etc/frr_reloader
  {{- include "mercurylb.frrResources" .Values.speaker.initContainers.cpReloader | nindent 2 }}
{{- end -}}

{{- define "mercurylb.frrContainers" -}}
{{- $self := dict "root" . "component" "speaker" -}}
{{- $frr := .Values.speaker.frr -}}
- name: frr
  {{- include "mercurylb.frrImage" . | nindent 2 }}
  command: ["/bin/sh", "-c", {{ printf "%s -- %s" $frr.tiniPath $frr.dockerStartPath | quote }}]
  env:
    - name: TINI_SUBREAPER
      value: "true"
  {{- with .Values.speaker.livenessProbe }}
  {{- if .enabled }}
  livenessProbe:
    httpGet:
      path: /livez
      port: {{ $frr.metricsPort }}
      scheme: HTTPS
    initialDelaySeconds: {{ .initialDelaySeconds }}
    periodSeconds: {{ .periodSeconds }}
    timeoutSeconds: {{ .timeoutSeconds }}
    successThreshold: {{ .successThreshold }}
    failureThreshold: {{ .failureThreshold }}
  {{- end }}
  {{- end }}
  {{- with .Values.speaker.startupProbe }}
  {{- if .enabled }}
  startupProbe:
    httpGet:
      path: /livez
      port: {{ $frr.metricsPort }}
      scheme: HTTPS
    periodSeconds: {{ .periodSeconds }}
    failureThreshold: {{ .failureThreshold }}
  {{- end }}
  {{- end }}
  {{- include "mercurylb.frrResources" $frr | nindent 2 }}
  securityContext:
    {{- toYaml $frr.securityContext | nindent 4 }}
  volumeMounts:
    - name: frr-sockets
      mountPath: /var/run/frr
    - name: frr-conf
      mountPath: /etc/frr
    - name: frr-tmp
      mountPath: /var/tmp/frr
    - name: frr-lib
      mountPath: /var/lib/frr
- name: reloader
  {{- include "mercurylb.frrImage" . | nindent 2 }}
  command: ["/etc/frr_reloader/frr-reloader"]
  {{- include "mercurylb.frrResources" .Values.speaker.reloader | nindent 2 }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
  volumeMounts:
    - name: frr-sockets
      mountPath: /var/run/frr
    - name: frr-conf
      mountPath: /etc/frr
    - name: reloader
      mountPath: /etc/frr_reloader
    - name: frr-log
      mountPath: /var/log/frr
# Asks FRR over its sockets. Those belong to several users and groups, whose numbers are the image's
# own business: so it is root that asks, with the one right to open what is not its own.
- name: frr-metrics
  {{- include "mercurylb.image" $self | nindent 2 }}
  command: ["/usr/bin/mercurylb-frr-metrics"]
  args:
    - --metrics-port={{ $frr.metricsPort }}
    {{- with .Values.tls.cipherSuites }}
    - --tls-cipher-suites={{ . }}
    {{- end }}
    {{- with .Values.tls.curvePreferences }}
    - --tls-curve-preferences={{ . }}
    {{- end }}
    {{- with .Values.tls.minVersion }}
    - --tls-min-version={{ . }}
    {{- end }}
    {{- if include "mercurylb.metricsSecret" $self }}
    - --tls-cert-file=/etc/metrics/tls.crt
    - --tls-private-key-file=/etc/metrics/tls.key
    {{- end }}
  ports:
    - name: frrmetricshttps
      containerPort: {{ $frr.metricsPort }}
  {{- include "mercurylb.frrResources" .Values.speaker.frrMetrics | nindent 2 }}
  securityContext:
    runAsUser: 0
    {{- include "mercurylb.containerSecurity" (dict "add" (list "DAC_OVERRIDE")) | nindent 4 }}
  volumeMounts:
    - name: frr-sockets
      mountPath: /var/run/frr
    {{- if include "mercurylb.metricsSecret" $self }}
    - name: metrics-certs
      mountPath: /etc/metrics
      readOnly: true
    {{- end }}
{{- end -}}

{{- define "mercurylb.frrVolumes" -}}
- name: frr-startup
  configMap:
    name: {{ include "mercurylb.fullname" . }}-frr-startup
{{- range list "frr-sockets" "frr-conf" "reloader" "frr-tmp" "frr-lib" "frr-log" }}
- name: {{ . }}
  emptyDir: {}
{{- end }}
{{- end -}}
