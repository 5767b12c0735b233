package vhost

import "fmt"

// A Request is the type of a message (vhost-user, sections "Front-end message
// types" and "Back-end message types", whose names these are).
type Request uint32

// Requests of the front end.
const (
	GetFeatures              Request = 1
	SetFeatures              Request = 2
	SetOwner                 Request = 3
	ResetOwner               Request = 4
	SetMemTable              Request = 5
	SetLogBase               Request = 6
	SetLogFD                 Request = 7
	SetVringNum              Request = 8
	SetVringAddr             Request = 9
	SetVringBase             Request = 10
	GetVringBase             Request = 11
	SetVringKick             Request = 12
	SetVringCall             Request = 13
	SetVringErr              Request = 14
	GetProtocolFeatures      Request = 15
	SetProtocolFeatures      Request = 16
	GetQueueNum              Request = 17
	SetVringEnable           Request = 18
	SendRARP                 Request = 19
	NetSetMTU                Request = 20
	SetBackendReqFD          Request = 21
	IOTLBMsg                 Request = 22
	SetVringEndian           Request = 23
	GetConfig                Request = 24
	SetConfig                Request = 25
	CreateCryptoSession      Request = 26
	CloseCryptoSession       Request = 27
	PostcopyAdvise           Request = 28
	PostcopyListen           Request = 29
	PostcopyEnd              Request = 30
	GetInflightFD            Request = 31
	SetInflightFD            Request = 32
	GPUSetSocket             Request = 33
	ResetDevice              Request = 34
	VringKick                Request = 35
	GetMaxMemSlots           Request = 36
	AddMemReg                Request = 37
	RemMemReg                Request = 38
	SetStatus                Request = 39
	GetStatus                Request = 40
	GetSharedObject          Request = 41
	SetDeviceStateFD         Request = 42
	CheckDeviceState         Request = 43
	GetShmemConfig           Request = 44
	GetVringBaseSkipDrain    Request = 45
	BackendIOTLBMsg          Request = 1 // requests of the back end, from here on
	BackendConfigChange      Request = 2
	BackendVringHostNotifier Request = 3
	BackendVringCall         Request = 4
	BackendVringErr          Request = 5
	BackendSharedObjectAdd   Request = 6
	BackendSharedObjectRm    Request = 7
	BackendSharedObjectFind  Request = 8
	BackendShmemMap          Request = 9
	BackendShmemUnmap        Request = 10
)

// Bits of protocol features (vhost-user, section "Protocol features").
const (
	ProtocolMQ                    = 1 << 0
	ProtocolLogShmFD              = 1 << 1
	ProtocolRARP                  = 1 << 2
	ProtocolReplyAck              = 1 << 3
	ProtocolMTU                   = 1 << 4
	ProtocolBackendReq            = 1 << 5
	ProtocolCrossEndian           = 1 << 6
	ProtocolCryptoSession         = 1 << 7
	ProtocolPageFault             = 1 << 8
	ProtocolConfig                = 1 << 9
	ProtocolBackendSendFD         = 1 << 10
	ProtocolHostNotifier          = 1 << 11
	ProtocolInflightShmFD         = 1 << 12
	ProtocolResetDevice           = 1 << 13
	ProtocolInbandNotifications   = 1 << 14
	ProtocolConfigureMemSlots     = 1 << 15
	ProtocolStatus                = 1 << 16
	ProtocolXenMmap               = 1 << 17
	ProtocolSharedObject          = 1 << 18
	ProtocolDeviceState           = 1 << 19
	ProtocolShmem                 = 1 << 20
	ProtocolGetVringBaseInflight  = 1 << 21
	ProtocolGetVringBaseSkipDrain = 1 << 22
)

// Bits of features that the protocol has besides those of devices.
const (
	FeatureLogAll           = 1 << 26 // VHOST_F_LOG_ALL
	FeatureProtocolFeatures = 1 << 30 // VHOST_USER_F_PROTOCOL_FEATURES
)

// A kind is a sort of payload.
type kind uint8

const (
	kindNone kind = iota
	kindU64
	kindState
	kindAddr
	kindMemory
	kindRegion
	kindLog // or a number, without ProtocolLogShmFD
	kindIOTLB
	kindConfig
	kindArea
	kindInflight
	kindObject
	kindTransfer
	kindMMap
	kindShmem
	kindOpaque
)

// A shape is what a message of one type has. Of file descriptors there are from
// minFDs to maxFDs with the request, and up to one with the reply.
type shape struct {
	name           string
	request, reply kind
	minFDs, maxFDs int
}

// MaxFDs is how many file descriptors come with a message at most.
const MaxFDs = 32

// shapes are those of the front end's requests, by type; a reply that has no
// payload of its own is the acknowledgement of ProtocolReplyAck.
var shapes = [...]shape{
	GetFeatures:           {"GET_FEATURES", kindNone, kindU64, 0, 0},
	SetFeatures:           {"SET_FEATURES", kindU64, kindNone, 0, 0},
	SetOwner:              {"SET_OWNER", kindNone, kindNone, 0, 0},
	ResetOwner:            {"RESET_OWNER", kindNone, kindNone, 0, 0},
	SetMemTable:           {"SET_MEM_TABLE", kindMemory, kindMemory, 0, MaxFDs},
	SetLogBase:            {"SET_LOG_BASE", kindLog, kindNone, 0, 1},
	SetLogFD:              {"SET_LOG_FD", kindNone, kindNone, 1, 1},
	SetVringNum:           {"SET_VRING_NUM", kindState, kindNone, 0, 0},
	SetVringAddr:          {"SET_VRING_ADDR", kindAddr, kindNone, 0, 0},
	SetVringBase:          {"SET_VRING_BASE", kindState, kindNone, 0, 0},
	GetVringBase:          {"GET_VRING_BASE", kindState, kindState, 0, 0},
	SetVringKick:          {"SET_VRING_KICK", kindU64, kindNone, 0, 1},
	SetVringCall:          {"SET_VRING_CALL", kindU64, kindNone, 0, 1},
	SetVringErr:           {"SET_VRING_ERR", kindU64, kindNone, 0, 1},
	GetProtocolFeatures:   {"GET_PROTOCOL_FEATURES", kindNone, kindU64, 0, 0},
	SetProtocolFeatures:   {"SET_PROTOCOL_FEATURES", kindU64, kindNone, 0, 0},
	GetQueueNum:           {"GET_QUEUE_NUM", kindNone, kindU64, 0, 0},
	SetVringEnable:        {"SET_VRING_ENABLE", kindState, kindNone, 0, 0},
	SendRARP:              {"SEND_RARP", kindU64, kindNone, 0, 0},
	NetSetMTU:             {"NET_SET_MTU", kindU64, kindNone, 0, 0},
	SetBackendReqFD:       {"SET_BACKEND_REQ_FD", kindNone, kindNone, 1, 1},
	IOTLBMsg:              {"IOTLB_MSG", kindIOTLB, kindU64, 0, 0},
	SetVringEndian:        {"SET_VRING_ENDIAN", kindState, kindNone, 0, 0},
	GetConfig:             {"GET_CONFIG", kindConfig, kindConfig, 0, 0},
	SetConfig:             {"SET_CONFIG", kindConfig, kindNone, 0, 0},
	CreateCryptoSession:   {"CREATE_CRYPTO_SESSION", kindOpaque, kindOpaque, 0, 0},
	CloseCryptoSession:    {"CLOSE_CRYPTO_SESSION", kindU64, kindNone, 0, 0},
	PostcopyAdvise:        {"POSTCOPY_ADVISE", kindNone, kindNone, 0, 0},
	PostcopyListen:        {"POSTCOPY_LISTEN", kindNone, kindNone, 0, 0},
	PostcopyEnd:           {"POSTCOPY_END", kindNone, kindU64, 0, 0},
	GetInflightFD:         {"GET_INFLIGHT_FD", kindInflight, kindInflight, 0, 0},
	SetInflightFD:         {"SET_INFLIGHT_FD", kindInflight, kindNone, 1, 1},
	GPUSetSocket:          {"GPU_SET_SOCKET", kindNone, kindNone, 1, 1},
	ResetDevice:           {"RESET_DEVICE", kindNone, kindNone, 0, 0},
	VringKick:             {"VRING_KICK", kindState, kindNone, 0, 0},
	GetMaxMemSlots:        {"GET_MAX_MEM_SLOTS", kindNone, kindU64, 0, 0},
	AddMemReg:             {"ADD_MEM_REG", kindRegion, kindRegion, 0, 1}, // none with the acknowledgement of postcopy
	RemMemReg:             {"REM_MEM_REG", kindRegion, kindNone, 0, 1},   // one should not come, and is closed
	SetStatus:             {"SET_STATUS", kindU64, kindNone, 0, 0},
	GetStatus:             {"GET_STATUS", kindNone, kindU64, 0, 0},
	GetSharedObject:       {"GET_SHARED_OBJECT", kindObject, kindNone, 0, 0},
	SetDeviceStateFD:      {"SET_DEVICE_STATE_FD", kindTransfer, kindU64, 1, 1},
	CheckDeviceState:      {"CHECK_DEVICE_STATE", kindNone, kindU64, 0, 0},
	GetShmemConfig:        {"GET_SHMEM_CONFIG", kindNone, kindShmem, 0, 0},
	GetVringBaseSkipDrain: {"GET_VRING_BASE_SKIP_DRAIN", kindState, kindState, 0, 0},
}

// backendShapes are those of the back end's requests.
var backendShapes = [...]shape{
	BackendIOTLBMsg:          {"BACKEND_IOTLB_MSG", kindIOTLB, kindNone, 0, 0},
	BackendConfigChange:      {"BACKEND_CONFIG_CHANGE_MSG", kindNone, kindNone, 0, 0},
	BackendVringHostNotifier: {"BACKEND_VRING_HOST_NOTIFIER_MSG", kindArea, kindNone, 0, 1},
	BackendVringCall:         {"BACKEND_VRING_CALL", kindState, kindNone, 0, 0},
	BackendVringErr:          {"BACKEND_VRING_ERR", kindState, kindNone, 0, 0},
	BackendSharedObjectAdd:   {"BACKEND_SHARED_OBJECT_ADD", kindObject, kindNone, 0, 0},
	BackendSharedObjectRm:    {"BACKEND_SHARED_OBJECT_REMOVE", kindObject, kindNone, 0, 0},
	BackendSharedObjectFind:  {"BACKEND_SHARED_OBJECT_LOOKUP", kindObject, kindU64, 0, 0},
	BackendShmemMap:          {"BACKEND_SHMEM_MAP", kindMMap, kindNone, 1, 1},
	BackendShmemUnmap:        {"BACKEND_SHMEM_UNMAP", kindMMap, kindNone, 0, 0},
}

// shapeOf finds the shape of a request of one side.
func shapeOf(r Request, backend bool) (shape, bool) {
	list := shapes[:]
	if backend {
		list = backendShapes[:]
	}
	if int64(r) >= int64(len(list)) || list[r].name == "" {
		return shape{}, false
	}
	return list[r], true
}

// String names a request of the front end.
func (r Request) String() string {
	if s, ok := shapeOf(r, false); ok {
		return s.name
	}
	return fmt.Sprintf("request %d", uint32(r))
}
