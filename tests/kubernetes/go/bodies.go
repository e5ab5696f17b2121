package main

import (
	"encoding/json"
	"math/rand/v2"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	pb "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
)

type body struct {
	Body        []byte            `json:"body"`
	Is          string            `json:"is"` // broken, refused or right
	Data        []byte            `json:"data,omitempty"`
	KeyID       []byte            `json:"key_id,omitempty"`
	Source      []byte            `json:"source,omitempty"`
	Type        int32             `json:"type,omitempty"`
	Annotations map[string][]byte `json:"annotations,omitempty"`
}

func bodies(n int, lines *json.Encoder) {
	random := rand.New(rand.NewPCG(7, 9))
	for range n {
		given := odd(random)
		answer := body{Body: given, Is: "right"}
		var object pb.EncryptedObject
		if err := proto.Unmarshal(given, &object); err != nil {
			answer.Is = "broken"
		} else if err := kmsv2.ValidateEncryptedObject(&object); err != nil {
			answer.Is = "refused"
		} else {
			answer.Data, answer.KeyID, answer.Source = object.EncryptedData, []byte(object.KeyID), object.EncryptedDEKSource
			answer.Type, answer.Annotations = int32(object.EncryptedDEKSourceType), object.Annotations
		}
		check(lines.Encode(answer))
	}
}

// A few fields, known and not, of the right and of other types, in any order, cut and altered.
func odd(random *rand.Rand) []byte {
	one := func() bool { return random.IntN(8) == 0 }
	bytes := func(most int) []byte {
		data := make([]byte, random.IntN(most+1))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		return data
	}
	pick := func(of ...string) []byte { return []byte(of[random.IntN(len(of))]) }
	long := func(b []byte, value uint64) []byte {
		if !one() {
			return protowire.AppendVarint(b, value)
		}
		b = protowire.AppendVarint(b, value)
		for range 1 + random.IntN(9) {
			b[len(b)-1] |= 0x80
			b = append(b, 0)
		}
		return b
	}
	field := func(b []byte, number protowire.Number, data []byte) []byte {
		b = long(b, protowire.EncodeTag(number, protowire.BytesType))
		return append(long(b, uint64(len(data))), data...)
	}
	name := func() []byte {
		label := make([]byte, 60+random.IntN(6))
		for i := range label {
			label[i] = 'a'
		}
		return pick("a.b", "a.example.com", "a.example.com", "a.example.com.", "a..b", "A.b", "a", "", "-a.b", "a-.b", "a-b.0",
			"a_b.c", ".", "a.b..", "\xff.b", "ä.b", string(label)+".b", "1.2", "a.b\n")
	}
	unknown := func(b []byte, number protowire.Number) []byte {
		switch random.IntN(7) {
		case 0:
			return long(protowire.AppendTag(b, number, protowire.VarintType), random.Uint64())
		case 1:
			return protowire.AppendFixed32(protowire.AppendTag(b, number, protowire.Fixed32Type), 1)
		case 2:
			return protowire.AppendFixed64(protowire.AppendTag(b, number, protowire.Fixed64Type), 1)
		case 3:
			return protowire.AppendTag(b, number, protowire.EndGroupType)
		case 4:
			b = protowire.AppendTag(b, number, protowire.StartGroupType)
			b = field(b, 3, []byte("x"))
			if one() {
				number++
			}
			return protowire.AppendTag(b, number, protowire.EndGroupType)
		case 5:
			return protowire.AppendTag(b, number, protowire.Type(6+random.IntN(2)))
		default:
			return field(b, number, bytes(5))
		}
	}
	var parts [][]byte
	add := func(part []byte) { parts = append(parts, part) }
	add(field(nil, 1, bytes(20)))
	add(field(nil, 2, pick("kek", "kek", "kek", "k", "", "\xff", "ключ")))
	add(field(nil, 3, bytes(30)))
	if random.IntN(4) > 0 {
		values := []uint64{1, 1, 1, 1, 0, 2, 1 << 32, 1<<32 + 1, 1<<64 - 1}
		add(long(protowire.AppendTag(nil, 5, protowire.VarintType), values[random.IntN(len(values))]))
	}
	for range random.IntN(3) {
		var entry []byte
		for range random.IntN(4) {
			switch random.IntN(4) {
			case 0, 1:
				entry = field(entry, 1, name())
			case 2:
				entry = field(entry, 2, bytes(6))
			default:
				if one() {
					entry = unknown(entry, protowire.Number(1+random.IntN(4)))
				}
			}
		}
		add(field(nil, 4, entry))
	}
	switch random.IntN(40) {
	case 0:
		add(field(nil, 3, make([]byte, 1023+random.IntN(3))))
	case 1:
		data := make([]byte, 1023+random.IntN(3))
		for i := range data {
			data[i] = 'k'
		}
		add(field(nil, 2, data))
	case 2, 3, 4, 5:
		add(field(nil, protowire.Number(1+random.IntN(3)), pick("again", "")))
	}
	if random.IntN(3) == 0 {
		numbers := []protowire.Number{1, 2, 3, 4, 5, 6, 15, 16, 1000, 1<<29 - 1, 1 << 29, 1<<31 - 1}
		add(unknown(nil, numbers[random.IntN(len(numbers))]))
	}
	random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	if one() && len(all) > 0 {
		all = all[:random.IntN(len(all))]
	}
	if one() && len(all) > 0 {
		all[random.IntN(len(all))] ^= 1 << random.IntN(8)
	}
	return all
}
