{{/*
Finds values that no chart here knows, and the names that were meant.

The schema could refuse unknown keys as well, but not say which name is nearest, and it is asked
before any template. So it leaves names to this file. The names are in files/value-names.json,
drawn from the schemas by scripts/chart-values: each path, and whether all keys below it are listed.
*/}}

{{/* Lines about the values of a section; takes a dictionary of names, values and path. */}}
{{- define "mercurylb.unknown" -}}
{{- $names := .names -}}
{{- range $key, $value := .values -}}
{{- $path := ternary $key (printf "%s.%s" $.path $key) (eq $.path "") -}}
{{- if not (hasKey $names $path) -}}
{{ printf "%s: no such value%s" $path (include "mercurylb.hint" (dict "names" $names "section" $.path "key" $key)) }}
{{ else if and (eq $path "global") (kindIs "map" $value) -}}
{{- include "mercurylb.unknownGlobals" (dict "names" $names "values" $value) -}}
{{- else if and (index $names $path) (kindIs "map" $value) -}}
{{- include "mercurylb.unknown" (dict "names" $names "values" $value "path" $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Lines about keys that all charts share: others' stay, a slip of one of ours is told. */}}
{{- define "mercurylb.unknownGlobals" -}}
{{- $names := .names -}}
{{- range $key, $_ := .values -}}
{{- if not (hasKey $names (printf "global.%s" $key)) -}}
{{- range $path, $_ := $names -}}
{{- if hasPrefix "global." $path -}}
{{- $ours := trimPrefix "global." $path -}}
{{- if le (int64 (include "mercurylb.distance" (dict "from" (lower $key) "to" (lower $ours)))) 2 -}}
{{ printf "global.%s: no such value; did you mean %s?" $key $path }}
{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
What was probably meant: the nearest name of the same section, or else the places where the very
name is known; takes a dictionary of names, section and key.
*/}}
{{- define "mercurylb.hint" -}}
{{- $word := lower .key -}}
{{- $prefix := ternary "" (printf "%s." .section) (eq .section "") -}}
{{- $best := "" -}}
{{- $least := add1 (max 1 (div (len $word) 3)) -}}
{{- $elsewhere := list -}}
{{- range $path, $_ := .names -}}
{{- $last := splitList "." $path | last -}}
{{- if eq $path (printf "%s%s" $prefix $last) -}}
{{- $distance := int64 (include "mercurylb.distance" (dict "from" $word "to" (lower $last))) -}}
{{- if lt $distance $least -}}
{{- $best = $path -}}
{{- $least = $distance -}}
{{- end -}}
{{- else if and (eq (lower $last) $word) (eq (hasPrefix "frr-k8s." $path) (hasPrefix "frr-k8s" $.section)) -}}
{{- $elsewhere = append $elsewhere $path -}}
{{- end -}}
{{- end -}}
{{- if $best -}}
; did you mean {{ $best }}?
{{- else if $elsewhere -}}
; did you mean {{ join " or " (slice $elsewhere 0 (min 3 (len $elsewhere))) }}?
{{- end -}}
{{- end -}}

{{/* How many letters have to be changed, added or left out to make one word of another. */}}
{{- define "mercurylb.distance" -}}
{{- $to := splitList "" .to -}}
{{- $row := untilStep 0 (int (add1 (len $to))) 1 -}}
{{- range $i, $letter := splitList "" .from -}}
{{- $next := list (add1 $i) -}}
{{- range $j, $other := $to -}}
{{- $changed := add (index $row $j) (ternary 0 1 (eq $letter $other)) -}}
{{- $next = append $next (min $changed (add1 (index $row (int (add1 $j)))) (add1 (index $next $j))) -}}
{{- end -}}
{{- $row = $next -}}
{{- end -}}
{{- last $row -}}
{{- end -}}
