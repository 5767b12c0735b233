package e2e
import ("testing")
func TestZZ(t *testing.T){
	files := t.TempDir()
	for i := range 6 {
	t.Run("down", func(t *testing.T) { h := newHost(t, cable{plain:true}); serveHTTP(t,h); _ = i
	curlDownload(t,h,5e6) })
	t.Run("up", func(t *testing.T) { h := newHost(t, cable{plain:true}); serveHTTP(t,h)
	curlUpload(t,h,files,5e6) })
	}
}
