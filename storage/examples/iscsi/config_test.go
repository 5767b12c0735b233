package main

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/iscsi/admin"
)

// TestParseConfig reads files as gotgt's users have them, and what is added to them.
func TestParseConfig(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		targets []admin.Target
		portals map[string]uint16
		notes   int
	}{
		"one disk": {
			`{"storages":[{"deviceID":1000,"path":"file:/var/tmp/disk.img","online":true}],
			  "iscsiportals":[{"id":0,"portal":"127.0.0.1:3260"}],
			  "iscsitargets":{"iqn.2016-09.com.gotgt.gostor:02:example-tgt-0":{"tpgts":{"1":[0]},"luns":{"0":1000}}}}`,
			[]admin.Target{{
				Name: "iqn.2016-09.com.gotgt.gostor:02:example-tgt-0", Groups: []uint16{1},
				LUNs: map[int]admin.LUN{0: {Disk: "file:/var/tmp/disk.img", Shared: "1000"}},
			}},
			map[string]uint16{"127.0.0.1:3260": 1}, 0,
		},
		"what gotgt has for speed": {
			`{"storages":[{"deviceID":1000,"path":"/var/tmp/a,b.img","online":true,"thinProvisioning":false,"blockShift":12,
			    "backendType":"iouring","enableNUMA":true,"numaNode":0,"ioUringQueueDepth":4096}],
			  "iscsiportals":[{"id":7,"portal":"192.168.1.100"},{"id":8,"portal":"fd00::1"}],
			  "iscsitargets":{"iqn.2024-01.com.gotgt:fast":{"tpgts":{"1":[7],"2":[8]},"luns":{"1":1000}}},
			  "performance":{"enableNUMA":true,"numaBufferSize":262144}}`,
			[]admin.Target{{
				Name: "iqn.2024-01.com.gotgt:fast", Groups: []uint16{1, 2},
				LUNs: map[int]admin.LUN{1: {Disk: "file:/var/tmp/a,,b.img,blocksize=4096", Shared: "1000"}},
			}},
			map[string]uint16{"192.168.1.100:3260": 1, "[fd00::1]:3260": 2}, 0,
		},
		"offline, shared, without portals": {
			`{"storages":[{"deviceID":1,"path":"iouring:/a","online":false},{"deviceID":2,"path":"/b"}],
			  "iscsitargets":{"iqn.2024-01.x:b":{"luns":{"0":1,"1":2}},"iqn.2024-01.x:a":{"luns":{"1":2}}}}`,
			[]admin.Target{
				{Name: "iqn.2024-01.x:a", LUNs: map[int]admin.LUN{1: {Disk: "file:/b", Shared: "2"}}},
				{Name: "iqn.2024-01.x:b", LUNs: map[int]admin.LUN{1: {Disk: "file:/b", Shared: "2"}}},
			},
			map[string]uint16{}, 0,
		},
		"more": {
			`{"storages":[{"deviceID":1,"disk":"http://h/a.iso#cache=1M","blockShift":11},{"deviceID":2,"disk":"http://h/a.iso","blockShift":11}],
			  "iscsitargets":{"iqn.2024-01.x:a":{"alias":"x","luns":{"1":1,"2":2},
			    "access":[{"initiator":"iqn.2024-01.x:i","user":"u","secret":"a long secret","luns":{"1":"ro"}}]}},"colour":"red"}`,
			[]admin.Target{{
				Name: "iqn.2024-01.x:a", Alias: "x",
				Access: []admin.Access{{Initiator: "iqn.2024-01.x:i", User: "u", Secret: "a long secret", LUNs: map[int]string{1: "ro"}}},
				LUNs: map[int]admin.LUN{
					1: {Disk: "http://h/a.iso#cache=1M,blocksize=2048", Shared: "1"}, 2: {Disk: "http://h/a.iso#blocksize=2048", Shared: "2"},
				},
			}},
			map[string]uint16{}, 1,
		},
		"nothing": {`{}`, nil, map[string]uint16{}, 0},
	} {
		got, err := parseConfig([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(got.targets, c.targets) || !maps.Equal(got.portals, c.portals) || len(got.notes) != c.notes {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestParseConfigRefuses(t *testing.T) {
	target := func(s string) string {
		return `{"storages":[{"deviceID":1,"path":"/a"}],"iscsiportals":[{"id":0,"portal":"h"},{"id":1}],"iscsitargets":{` + s + `}}`
	}
	for text, want := range map[string]string{
		``:                                  "end of JSON",
		`[]`:                                "array",
		`{"storages":[{"path":"ceph:/a"}]}`: "ceph",
		`{"storages":[{"path":"s3:b/k","backendType":"s3"}]}`:     "s3",
		`{"storages":[{"path":"/k","backendType":"s3"}]}`:         "s3",
		`{"storages":[{"path":"file:"}]}`:                         "names no file",
		`{"storages":[{}]}`:                                       "names no file",
		`{"storages":[{"path":"/a","blockShift":60}]}`:            "blockShift",
		`{"storages":[{"path":"/a"},{"path":"/b"}]}`:              "twice",
		target(`"t":{"luns":{"1":2}}`):                            "deviceID 2",
		target(`"t":{"luns":{"x":1}}`):                            `"x"`,
		target(`"t":{"luns":{"16384":1}}`):                        "16383",
		target(`"t":{"tpgts":{"0":[0]}}`):                         "65535",
		target(`"t":{"tpgts":{"1":[5]}}`):                         "id 5",
		target(`"t":{"tpgts":{"1":[1]}}`):                         "no address",
		target(`"t":{"tpgts":{"1":[0]}},"u":{"tpgts":{"2":[0]}}`): "one group",
	} {
		if c, err := parseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"storages":[{"deviceID":1,"path":"/a","online":true,"blockShift":9}],"iscsiportals":[{"id":0,"portal":"h:1"}],"iscsitargets":{"t":{"tpgts":{"1":[0]},"luns":{"0":1}}}}`))
	f.Add([]byte(`{"storages":[{"disk":"http://h/a#x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig(text)
		if err != nil {
			return
		}
		for _, target := range c.targets {
			for n, l := range target.LUNs {
				if n < 0 || n > 16383 || l.Disk == "" {
					t.Errorf("unit %d is %+v", n, l)
				}
			}
		}
	})
}
