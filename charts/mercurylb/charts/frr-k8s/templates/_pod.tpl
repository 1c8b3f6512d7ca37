{{/* Parts that both pods have. */}}

{{/* Where a pod may run, and with which rank. */}}
{{- define "frrk8s.placement" -}}
{{- with .Values.frrk8s.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.frrk8s.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.frrk8s.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.frrk8s.tolerateMaster .Values.frrk8s.tolerations }}
tolerations:
  {{- if .Values.frrk8s.tolerateMaster }}
  - key: node-role.kubernetes.io/master
    operator: Exists
    effect: NoSchedule
  - key: node-role.kubernetes.io/control-plane
    operator: Exists
    effect: NoSchedule
  {{- end }}
  {{- with .Values.frrk8s.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Times of a probe. */}}
{{- define "frrk8s.probeTimes" -}}
initialDelaySeconds: {{ .initialDelaySeconds }}
periodSeconds: {{ .periodSeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
successThreshold: {{ .successThreshold }}
failureThreshold: {{ .failureThreshold }}
{{- end -}}

{{/* An environment variable for each of a pod's own fields. */}}
{{- define "frrk8s.env" -}}
{{- range $name, $field := . }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $field }}
{{- end }}
{{- end -}}

{{/* Resources of a container, if any are asked for. */}}
{{- define "frrk8s.resources" -}}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A container that copies a program from the image of frr-k8s for one that runs in FRR's. */}}
{{- define "frrk8s.copy" -}}
- name: {{ .name }}
  {{- include "frrk8s.image" (dict "root" .root "image" .root.Values.frrk8s.image) | nindent 2 }}
  command: ["/bin/sh", "-c", "cp -f /{{ .program }} {{ .folder }}/"]
  {{- include "frrk8s.resources" .values | nindent 2 }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: ["ALL"]
  volumeMounts:
    - name: {{ .volume }}
      mountPath: {{ .folder }}
{{- end -}}
