package main

import (
	"bytes"
	"compress/lzw"
	"io"
)

func compressed(plain []byte) (answer, error) {
	var packed bytes.Buffer
	w := lzw.NewWriter(&packed, lzw.LSB, 8)
	if _, err := w.Write(plain); err != nil {
		return answer{}, err
	}
	err := w.Close()
	return answer{Data: packed.Bytes(), Count: packed.Len()}, err
}

func decompressed(packed []byte) (answer, error) {
	plain, err := io.ReadAll(lzw.NewReader(bytes.NewReader(packed), lzw.LSB, 8))
	return answer{Data: plain, Count: len(plain)}, err
}
