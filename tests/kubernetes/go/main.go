// Values of Kubernetes' encryption at rest, by the API server's own packages.
//
//	values write N      N values of each key: JSON lines by, path, value, sha256 and len of the plaintext, stale
//	values read         JSON lines path and value, with sha256, len and stale, or error, or panic
//	values bodies N     N bodies of kms v2 values, mostly odd, and what its codec says of each
//
// All know the same keys (config.go), and tests/kubernetes_values.rs knows them too.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"k8s.io/apiserver/pkg/storage/value"
)

type line struct {
	By     string `json:"by,omitempty"`
	Path   []byte `json:"path"`
	Value  []byte `json:"value,omitempty"`
	Sha256 string `json:"sha256,omitempty"`
	Len    int    `json:"len"`
	Stale  bool   `json:"stale,omitempty"`
	Error  string `json:"error,omitempty"`
	Panic  string `json:"panic,omitempty"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: values write N | read | bodies N")
	}
	number := func() int {
		n, err := strconv.Atoi(os.Args[2])
		check(err)
		return n
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	lines := json.NewEncoder(out)
	switch os.Args[1] {
	case "write":
		write(number(), lines)
	case "read":
		read(lines)
	case "bodies":
		bodies(number(), lines)
	default:
		log.Fatal("no such command: ", os.Args[1])
	}
}

func write(n int, lines *json.Encoder) {
	world := newWorld()
	defer os.RemoveAll(world.folder)
	reader := world.transformer("")
	for _, by := range names() {
		writer := world.transformer(by)
		for i := range n {
			path, plain := path(i), plaintext(by, i, n)
			stored, err := writer.TransformToStorage(context.Background(), plain, value.DefaultContext(path))
			check(err)
			opened, stale, err := reader.TransformFromStorage(context.Background(), stored, value.DefaultContext(path))
			check(err)
			if !bytes.Equal(opened, plain) {
				log.Fatal(by, ": not what was written")
			}
			check(lines.Encode(line{By: by, Path: path, Value: stored, Sha256: sum(plain), Len: len(plain), Stale: stale}))
		}
	}
}

func read(lines *json.Encoder) {
	world := newWorld()
	defer os.RemoveAll(world.folder)
	reader := world.transformer("")
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var given line
		check(json.Unmarshal(in.Bytes(), &given))
		check(lines.Encode(readOne(reader, given)))
	}
	check(in.Err())
}

func readOne(reader value.Transformer, given line) (answer line) {
	answer = line{By: given.By, Path: given.Path}
	defer func() {
		if what := recover(); what != nil {
			answer.Panic = fmt.Sprint(what)
		}
	}()
	opened, stale, err := reader.TransformFromStorage(context.Background(), given.Value, value.DefaultContext(given.Path))
	if err != nil {
		answer.Error = err.Error()
		return answer
	}
	answer.Sha256, answer.Len, answer.Stale = sum(opened), len(opened), stale
	return answer
}

// As the API server has them, and odd ones.
func path(i int) []byte {
	odd := []string{
		"/registry/secrets/default/a:b", "/registry/secrets/default/k8s:enc:aescbc:v1:a:", "x", "/", " ",
		"/registry/secrets/Zoë/ключ", "/registry/x\x00y", "/\xff\xfe", strings.Repeat("/registry", 200),
	}
	if i%10 == 9 {
		return []byte(odd[i/10%len(odd)])
	}
	return fmt.Appendf(nil, "/registry/secrets/default/db-%d", i)
}

// 0 bytes to 1 MiB: the last one is that long where there are 500.
func plaintext(by string, i, n int) []byte {
	sizes := []int{0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 300, 500, 1000, 1024}
	size := sizes[i%len(sizes)]
	switch {
	case n >= 500 && i == n-1:
		size = 1 << 20
	case n >= 500 && i%100 == 50:
		size = 1 << 16
	case i%50 == 30:
		size = 4096 + i
	}
	data := make([]byte, size)
	random := rand.NewChaCha8(sha256.Sum256([]byte(by + strconv.Itoa(i))))
	random.Read(data)
	begins := []string{"k8s\x00\n", "{\"kind\":", "k8s:enc:", "k8s:enc:kms:v2:vault:"}
	if begin := begins[i%4]; i%3 == 0 && !(by == "identity" && strings.HasPrefix(begin, "k8s:enc:")) {
		copy(data, begin)
	}
	return data
}

func sum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
