// The API server's own kms v2 transformer, timed: for each line "write|read BYTES MILLISECONDS" of
// standard input it works for that long and answers with nanoseconds per value.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"time"

	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
)

// A KMS that wraps nothing: it is asked once, before anything is timed.
type kms struct{}

func (kms) Status(context.Context) (*service.StatusResponse, error) {
	return &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: "1"}, nil
}

func (kms) Encrypt(_ context.Context, _ string, seed []byte) (*service.EncryptResponse, error) {
	return &service.EncryptResponse{Ciphertext: seed, KeyID: "1"}, nil
}

func (kms) Decrypt(_ context.Context, _ string, request *service.DecryptRequest) ([]byte, error) {
	return request.Ciphertext, nil
}

func main() {
	ctx := context.Background()
	under, object, cacheKey, err := kmsv2.GenerateTransformer(ctx, "uid", kms{}, true)
	check(err)
	state := func() (kmsv2.State, error) {
		return kmsv2.State{
			Transformer:                           under,
			EncryptedObjectKeyID:                  object.KeyID,
			EncryptedObjectEncryptedDEKSource:     object.EncryptedDEKSource,
			EncryptedObjectEncryptedDEKSourceType: object.EncryptedDEKSourceType,
			UID:                                   "uid",
			ExpirationTimestamp:                   time.Now().Add(time.Hour),
			CacheKey:                              cacheKey,
			KMSProviderName:                       "bench",
		}, nil
	}
	values := kmsv2.NewEnvelopeTransformer(kms{}, "bench", state, "")
	path := value.DefaultContext("/registry/secrets/default/db")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var work string
		var size, milliseconds int
		_, err := fmt.Sscan(in.Text(), &work, &size, &milliseconds)
		check(err)
		plain := make([]byte, size)
		rand.Read(plain)
		stored, err := values.TransformToStorage(ctx, plain, path)
		check(err)
		one := func() error { _, err := values.TransformToStorage(ctx, plain, path); return err }
		if work == "read" {
			one = func() error { _, _, err := values.TransformFromStorage(ctx, stored, path); return err }
		}
		limit := time.Duration(milliseconds) * time.Millisecond
		begun, count := time.Now(), 0
		for time.Since(begun) < limit {
			for range 64 {
				check(one())
			}
			count += 64
		}
		fmt.Println(float64(time.Since(begun).Nanoseconds()) / float64(count))
	}
	check(in.Err())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
