package netdiff

import (
	"fmt"
	"math/rand/v2"
)

// generate makes a sequence from chance: a connection, or two UDP sockets, and
// what may happen to them.
func generate(dice *rand.Rand) sequence {
	if dice.IntN(3) == 0 {
		return generateUDP(dice)
	}
	s := sequence{"listen l tcp4 127.0.0.1:0", "dial a tcp4 @l", "accept b l"}
	for range 4 + dice.IntN(9) {
		s = append(s, tcpStep(dice))
	}
	return s
}

// oneOf is one of the choices.
func oneOf(dice *rand.Rand, choices ...string) string { return choices[dice.IntN(len(choices))] }

func tcpStep(dice *rand.Rand) string {
	end := oneOf(dice, "a", "b")
	switch dice.IntN(20) {
	case 0, 1, 2, 3:
		return fmt.Sprintf("read %s %s", end, oneOf(dice, "0", "1", "3", "100"))
	case 4, 5, 6, 7:
		return fmt.Sprintf("write %s %s", end, oneOf(dice, `""`, "x", "some", "more-of-it"))
	case 8, 9:
		return "closewrite " + end
	case 10:
		return "close " + end
	case 11, 12:
		return fmt.Sprintf("linger %s %s", end, oneOf(dice, "0", "0", "-1"))
	case 13, 14, 15:
		return fmt.Sprintf("deadline %s %s %s", end, oneOf(dice, "read", "write", "both"), oneOf(dice, "past", "none", "none"))
	case 16:
		return oneOf(dice, "readall ", "readfrom ", "addrs ", "keepalive ", "look ", "peek ", "look ", "peek ") + end
	case 17:
		return oneOf(dice, "close l", "accept c l", "dial d tcp4 @l", "deadline l both past", "deadline l both none", "closeread "+end)
	case 18:
		return oneOf(dice, "read c 1", "write c x", "close c", "read d 1", "write d y", "close d", "closewrite d")
	}
	return oneOf(dice, "close ", "closewrite ", "closeread ") + end
}

func generateUDP(dice *rand.Rand) sequence {
	s := sequence{"packet u udp4 127.0.0.1:0", "dial c udp4 @u", "packet v udp4 :0"}
	for range 4 + dice.IntN(9) {
		s = append(s, udpStep(dice))
	}
	return s
}

func udpStep(dice *rand.Rand) string {
	all := oneOf(dice, "u", "v", "c")
	text := oneOf(dice, `""`, "x", "some", "more-of-it")
	switch dice.IntN(14) {
	case 0, 1:
		return fmt.Sprintf("read %s %s", all, oneOf(dice, "0", "1", "100"))
	case 2, 3, 4:
		return fmt.Sprintf("readfrom %s %s", all, oneOf(dice, "0", "1", "100"))
	case 5, 6:
		return fmt.Sprintf("write %s %s", all, text)
	case 7, 8, 9:
		return fmt.Sprintf("writeto %s %s %s", all, text, oneOf(dice, "@u", "@c", "127.0.0.1:$v", "127.0.0.1:0", "nil", ":$u"))
	case 10:
		return "close " + all
	case 11, 12:
		return fmt.Sprintf("deadline %s %s %s", all, oneOf(dice, "read", "write", "both"), oneOf(dice, "past", "none", "none"))
	}
	return "addrs " + all
}
