package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	_ "k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
	aestransformer "k8s.io/apiserver/pkg/storage/value/encrypt/aes"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	kmsv2 "k8s.io/kms/pkg/service"
)

// A provider, and the names of its keys with their sizes, or of its KMS with 1 or 2, its version.
type provider struct {
	kind string
	keys []key
}

type key struct {
	name string
	size int
}

// In the order that values are read in. "plain" has DEKs where "vault" has seeds.
var providers = []provider{
	{"kms", []key{{"vault", 2}}},
	{"aesgcm", []key{{"a:b", 32}, {"k16", 16}, {"k24", 24}, {"a", 32}}},
	{"aescbc", []key{{"a", 32}, {"a:b", 16}, {"k24", 24}}},
	{"secretbox", []key{{"a:b", 32}, {"ключ", 32}}},
	{"kms", []key{{"plain", 2}}},
	{"kms", []key{{"one", 1}}},
	{"kms", []key{{"one:two", 1}}},
	{"identity", nil},
}

// What writes values: one of the keys, and the KMS "one" as it was before Kubernetes 1.25.
const cbcOfV1 = "kms/one/cbc"

func names() []string {
	var all []string
	for _, p := range providers {
		for _, k := range p.keys {
			all = append(all, p.kind+"/"+k.name)
		}
	}
	return append(all, "identity", cbcOfV1)
}

// The secret of a key, or the KEK of a KMS.
func secret(kind, name string, size int) []byte {
	sum := sha256.Sum256([]byte("libkms test key " + kind + "/" + name))
	return sum[:size]
}

// The configuration of all providers, the one that is to write first.
func config(writer, sockets string) []byte {
	all := slices.Clone(providers)
	for i, p := range all {
		if writer == p.kind && len(p.keys) == 0 {
			all = slices.Insert(slices.Delete(all, i, i+1), 0, p)
			break
		}
		j := slices.IndexFunc(p.keys, func(k key) bool { return writer == p.kind+"/"+k.name })
		if j >= 0 {
			keys := slices.Clone(p.keys)
			keys = slices.Insert(slices.Delete(keys, j, j+1), 0, p.keys[j])
			all = slices.Insert(slices.Delete(all, i, i+1), 0, provider{p.kind, keys})
			break
		}
	}
	var list []any
	for _, p := range all {
		list = append(list, map[string]any{p.kind: settings(p, sockets)})
	}
	file, err := json.Marshal(map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1",
		"kind":       "EncryptionConfiguration",
		"resources":  []any{map[string]any{"resources": []string{"secrets"}, "providers": list}},
	})
	check(err)
	return file
}

func settings(p provider, sockets string) any {
	switch p.kind {
	case "identity":
		return map[string]any{}
	case "kms":
		k := p.keys[0]
		socket := filepath.Join(sockets, strings.ReplaceAll(k.name, ":", "-"))
		kms := map[string]any{"apiVersion": fmt.Sprint("v", k.size), "name": k.name, "endpoint": "unix://" + socket}
		kms["timeout"] = "10s"
		return kms
	}
	var keys []any
	for _, k := range p.keys {
		keys = append(keys, map[string]any{"name": k.name, "secret": secret(p.kind, k.name, k.size)})
	}
	return map[string]any{"keys": keys}
}

// Where the KMS of all providers are served.
type world struct{ folder string }

func newWorld() world {
	check(utilfeature.DefaultMutableFeatureGate.Set("KMSv1=true"))
	encryptionconfig.SetKDFForTests("plain", false)
	encryptionconfig.EnvelopeKMSv2ServiceFactory = func(_ context.Context, _, name string, _ time.Duration) (kmsv2.Service, error) {
		return remote{name}, nil
	}
	folder, err := os.MkdirTemp("", "values")
	check(err)
	for _, p := range providers {
		if p.kind == "kms" && p.keys[0].size == 1 {
			serveV1(p.keys[0].name, filepath.Join(folder, strings.ReplaceAll(p.keys[0].name, ":", "-")))
		}
	}
	return world{folder}
}

func (w world) transformer(writer string) value.Transformer {
	if writer == cbcOfV1 {
		return value.NewPrefixTransformers(nil, value.PrefixTransformer{
			Prefix:      []byte("k8s:enc:kms:v1:one:"),
			Transformer: envelope.NewEnvelopeTransformer(remoteV1{remote{"one"}}, 0, cbc),
		})
	}
	file := filepath.Join(w.folder, "config.json")
	check(os.WriteFile(file, config(writer, w.folder), 0o600))
	loaded, err := encryptionconfig.LoadEncryptionConfig(context.Background(), file, false, "test")
	check(err)
	transformer := loaded.Transformers[schema.ParseGroupResource("secrets")]
	if transformer == nil {
		log.Fatal("no transformer for secrets")
	}
	return transformer
}

func cbc(block cipher.Block) (value.Transformer, error) {
	return aestransformer.NewCBCTransformer(block), nil
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	check(err)
	aead, err := cipher.NewGCM(block)
	check(err)
	return aead
}
